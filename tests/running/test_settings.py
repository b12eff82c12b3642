"""Settings: defaults, then the file, then the environment, then options."""

from pathlib import Path

import msgspec
import pytest

from dragon.settings import Settings, load_settings
from tests.running.configs import EXAMPLE, write


def test_without_a_file_all_is_default() -> None:
    assert load_settings(None, {}) == Settings()


def test_the_file_wins_over_the_default(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "shards = 2"), {}).shards == 2


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = write(tmp_path, 'shards = 2\nredis_prefix = "site"')
    settings = load_settings(config, {"DRAGON_SHARDS": "3"})
    assert (settings.shards, settings.redis_prefix) == (3, "site")


def test_an_option_wins_over_the_environment_if_it_is_given() -> None:
    environment = {"DRAGON_DATA": "/env", "DRAGON_REDIS": "redis://env"}
    settings = load_settings(None, environment, data="/option", redis=None)
    assert (settings.data, settings.redis) == ("/option", "redis://env")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    config = write(tmp_path, "shards = 2")
    assert load_settings(None, {"DRAGON_CONFIG": config}).shards == 2


def test_the_file_of_the_option_replaces_that_of_the_environment(tmp_path: Path) -> None:
    config = write(tmp_path, "shards = 2")
    assert load_settings(config, {"DRAGON_CONFIG": str(tmp_path / "missing.toml")}).shards == 2


def test_the_example_with_accounts_is_read_whole(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, EXAMPLE), {})
    assert settings.public_url == "https://dragon.example.com"
    assert settings.fetch_allow == ("127.0.0.1:9000", "10.1.0.0/16")
    [account] = settings.accounts
    assert msgspec.to_builtins(account) == {
        "name": "acme",
        "secrets": ("123456",),
        "api_keys": ({"key": "654321", "referrers": ("example.com", "*.example.org")},),
        "webhook_secrets": (),
        "limits": {"queued": 1000, "running": 50, "per_minute": 6000},
        "weight": 1.0,
    }


@pytest.mark.parametrize("text", ["80,443", " 80 , 443 ", "[80, 443]"])
def test_a_list_in_the_environment_is_separated_by_commas_or_json(text: str) -> None:
    assert load_settings(None, {"DRAGON_FETCH_PORTS": text}).fetch_ports == (80, 443)


def test_an_ipv6_address_in_the_environment_is_not_taken_for_json() -> None:
    settings = load_settings(None, {"DRAGON_FETCH_ALLOW": "[fd00::7]:9000, ::1"})
    assert settings.fetch_allow == ("[fd00::7]:9000", "::1")


def test_an_empty_variable_is_an_empty_list() -> None:
    assert load_settings(None, {"DRAGON_FETCH_ALLOW": ""}).fetch_allow == ()


def test_tables_in_the_environment_are_json() -> None:
    settings = load_settings(
        None,
        {
            "DRAGON_SLOTS": '{"fast": 4}',
            "DRAGON_ACCOUNTS": '[{"name": "acme", "secrets": ["123456"]}]',
            "DRAGON_LEASE_SECONDS": "2.5",
        },
    )
    assert (settings.slots.fast, settings.lease_seconds) == (4, 2.5)
    assert settings.accounts[0].secrets == ("123456",)


def test_variables_of_other_programs_and_of_the_client_are_passed_over() -> None:
    environment = {
        "HOME": "/root",
        "DRAGONFLY": "1",
        "DRAGON_URL": "http://localhost",
        "DRAGON_SECRET": "123456",
    }
    assert load_settings(None, environment) == Settings()


def test_a_public_url_may_have_a_port_and_a_path() -> None:
    url = "http://10.0.0.7:8080/dragon/"
    assert load_settings(None, {"DRAGON_PUBLIC_URL": url}).public_url == url


STORES = """
output_store = "media"
[stores.media]
url = "s3://media/dragon"
endpoint = "http://127.0.0.1:9000"
access_key = "id"
secret_key = "very secret"
[stores.archive]
url = "gs://archive"
"""


def test_stores_are_tables_by_name(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, STORES), {})
    assert list(settings.stores) == ["media", "archive"]
    assert settings.stores["media"].url == "s3://media/dragon"
    assert settings.output_store == "media"


def test_stores_in_a_variable_are_json() -> None:
    environment = {"DRAGON_STORES": '{"media": {"url": "az://media"}}'}
    assert load_settings(None, environment).stores["media"].url == "az://media"
