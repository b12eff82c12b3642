"""The `redis` setting: what it may look like, and what is said of one that is wrong."""

import pytest

from dragon.errors import InvalidSettings
from dragon.settings import load_settings
from dragon.store.connection import connect
from dragon.urls import ValkeyServers, split_valkey_url


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        (
            "sentinel://one:1,two:2/jobs",
            ValkeyServers(scheme="sentinel", hosts=(("one", 1), ("two", 2)), service="jobs"),
        ),
        (
            "sentinel://me:a%40b%2Fc@one/jobs-1.a/3",
            ValkeyServers(
                scheme="sentinel",
                hosts=(("one", 26379),),
                username="me",
                password="a@b/c",
                service="jobs-1.a",
                db=3,
            ),
        ),
        (
            "cluster://:secret@10.0.0.1,[fd00::7]:7000",
            ValkeyServers(
                scheme="cluster", hosts=(("10.0.0.1", 6379), ("fd00::7", 7000)), password="secret"
            ),
        ),
    ],
)
def test_urls_of_several_servers_are_understood(url: str, servers: ValkeyServers) -> None:
    assert split_valkey_url(url) == servers
    assert load_settings(None, {}, redis=url).redis == url


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://u:p@h", "unix:///s.sock?db=1", "redis://"]
)
def test_urls_of_one_server_are_left_to_the_client(url: str) -> None:
    assert split_valkey_url(url) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:6379", "must begin with redis://, rediss://, unix://, sentinel:// or cluster"),
        ("http://localhost", "must begin with redis://"),
        ("sentinel://one:1", "'' is not the name of a service"),
        ("sentinel://one:1/a b", "'a b' is not the name of a service"),
        ("sentinel://one:1/jobs/x", "'x' is not the number of a database"),
        ("sentinel://one:1/jobs?ssl=1", "'jobs?ssl=1' is not the name"),
        ("sentinel://one:1,/jobs", "'' is not host:port"),
        ("sentinel:///jobs", "'' is not host:port"),
        ("sentinel://one:port/jobs", "'one:port' is not host:port"),
        ("sentinel://secret@one:1/jobs", "user:password or :password"),
        ("cluster://one:0", "'one:0' is not host:port"),
        ("cluster://one:1, two:2", "' two:2' is not host:port"),
        ("cluster://one:1/0", "a cluster has no names and one database, what is '0'?"),
        ("cluster://[::1", "'[::1' is not host:port"),
        ("cluster://me:secret@one:x", "it must be cluster://[user:password@]host:port,host:port"),
    ],
)
def test_a_wrong_url_is_explained_before_anything_starts(url: str, words: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        load_settings(None, {"DRAGON_REDIS": url})
    assert words in raised.value.message
    assert "secret" not in raised.value.message


def test_what_the_client_refuses_is_an_invalid_setting_too() -> None:
    with pytest.raises(InvalidSettings, match="redis: "):
        connect("redis://localhost:port", 1)
