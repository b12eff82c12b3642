"""A setting that is wrong is named, in words that show no secret."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dragon.errors import InvalidSettings
from dragon.settings import load_settings
from tests.running.configs import EXAMPLE, write
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE_SECONDS


def refusal(config: str | None, **environment: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(config, environment)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("shard = 2", ["shard`"]),
        ('shards = "two"', ["shards", "int", "str"]),
        ("shards = 0", ["shards", ">= 1"]),
        ("lease_seconds = -1", ["lease_seconds", "> 0"]),
        ("lease_seconds = true", ["lease_seconds", "float", "bool"]),
        ("[slots]\nfats = 3", ["slots", "fats"]),
        ("[[accounts]]\nname = 'a'\nsecret = 's'", ["accounts", "secret`"]),
        ("[[accounts]]\nname = 'a'\n[accounts.limits]\nqueue = 1", ["limits", "queue`"]),
        ("[[accounts]]\nsecrets = ['s']", ["accounts", "name"]),
        ("[[accounts]]\nname = 'a'\nsecrets = ['']", ["accounts", "secrets"]),
        ("[[accounts]]\nname = 'a'\nsecrets = 'abc'", ["accounts", "secrets", "array", "str"]),
        ("shards = 2 3", ["TOML", "line 1"]),
    ],
)
def test_a_wrong_setting_in_the_file_is_named_with_the_file(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    config = write(tmp_path, text)
    message = refusal(config)
    assert [word for word in [config, *words] if word not in message] == [], message


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("DRAGON_SHARD", "2", ["unknown"]),
        ("DRAGON_API_KEY", "654321", ["unknown"]),
        ("DRAGON_", "2", ["unknown"]),
        ("DRAGON_SHARDS", "two", ["int"]),
        ("DRAGON_SHARDS", "0", [">= 1"]),
        ("DRAGON_SHARDS", "", ["int"]),
        ("DRAGON_FETCH_PORTS", "80,http", ["int"]),
        ("DRAGON_FETCH_PORTS", "[80", ["int"]),
        ("DRAGON_TASK_PACKAGES", '["tasks"', ["truncated"]),
        ("DRAGON_SLOTS", "4", ["object", "int"]),
        ("DRAGON_SLOTS", '{"fats": 4}', ["fats"]),
        ("DRAGON_ACCOUNTS", "acme", ["object", "str"]),
        ("DRAGON_LOG_LEVEL", "loud", ["info"]),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, words: list[str]) -> None:
    message = refusal(None, **{variable: text})
    assert [word for word in [variable, *words] if word not in message] == [], message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "missing.toml")
    assert refusal(path) == f"cannot read {path}: No such file or directory"
    assert refusal(str(tmp_path)) == f"cannot read {tmp_path}: Is a directory"


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dragon.toml"
    path.write_bytes(b'data = "\xff"')
    assert f"{path} is not valid TOML" in refusal(str(path))


@pytest.mark.parametrize(
    "url",
    [
        "media.example.com",
        "//media.example.com",
        "ftp://media.example.com",
        "https://",
        "https://media.example.com:port",
        "https://media.example.com/?a=b",
        "https://media.example.com/ ",
    ],
)
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    words = "is not an http or https URL such as https://media.example.com"
    assert refusal(None, DRAGON_PUBLIC_URL=url) == f"public_url: {url!r} {words}"


def test_two_accounts_of_one_name_are_refused(tmp_path: Path) -> None:
    config = write(tmp_path, "[[accounts]]\nname = 'acme'\n[[accounts]]\nname = 'acme'")
    assert refusal(config) == "accounts: two accounts have the name 'acme'"


def test_a_webhook_secret_that_is_none_is_refused_without_showing_it(tmp_path: Path) -> None:
    account = '[[accounts]]\nname = "acme"\nwebhook_secrets = ["{}"]'
    good = "whsec_" + "QUFB" * 8
    assert load_settings(write(tmp_path, account.format(good)), {}).accounts[0].webhook_secrets == (
        good,
    )
    words = refusal(write(tmp_path, account.format("whsec_short")))
    assert words == (
        "accounts: a webhook secret of 'acme' is not whsec_ and the base64 of 24 to 64 random bytes"
    )


@pytest.mark.parametrize(
    "second",
    [
        "secrets = ['123456']",
        "secrets = ['a', 'a']",
        "api_keys = [{ key = '123456' }]",
        "api_keys = [{ key = 'a' }, { key = 'a' }]",
    ],
)
def test_a_credential_given_twice_is_refused_without_showing_it(
    tmp_path: Path, second: str
) -> None:
    first = "[[accounts]]\nname = 'acme'\nsecrets = ['123456']\n"
    message = refusal(write(tmp_path, f"{first}[[accounts]]\nname = 'other'\n{second}"))
    assert message == "accounts: a secret or api key of 'other' is given twice"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fetch_allow = ['intranet']", "fetch_allow: 'intranet' is not an address"),
        (
            EXAMPLE.replace("*.example.org", "*.example.*"),
            "referrers: '*.example.*' is not a host",
        ),
        (
            "task_packages = ['no_such']",
            "task_packages: cannot import no_such: ModuleNotFoundError",
        ),
        ("shards = 'two'", "shards"),
    ],
)
def test_dragon_does_not_start_with_a_wrong_setting(tmp_path: Path, text: str, words: str) -> None:
    command = [
        sys.executable, "-m", "dragon", "run", "--port", "0",
        "--data", str(tmp_path / "data"), "--config", write(tmp_path, text),
    ]  # fmt: skip
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "url", ["media", "s3:media", "http://media/x", "s3://", "s3://a/../b", "s3://media?x=1"]
)
def test_a_store_needs_a_bucket(url: str) -> None:
    stores = msgspec.json.encode(
        {"media": {"url": url, "access_key": "x", "secret_key": "very secret"}}
    ).decode()
    words = refusal(None, DRAGON_STORES=stores)
    assert words.startswith(f"stores.media.url: {url!r} is not of the form s3://bucket")
    assert "very secret" not in words


@pytest.mark.parametrize("key", ["access_key", "secret_key"])
def test_half_of_an_access_key_is_none(key: str) -> None:
    stores = msgspec.json.encode({"media": {"url": "s3://media", key: "very secret"}}).decode()
    words = "stores.media: access_key and secret_key belong together"
    assert refusal(None, DRAGON_STORES=stores) == words


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("url", {"url": "az://media/my files"}),
        ("url", {"url": "az://media/100%"}),
        ("endpoint", {"url": "az://media", "endpoint": "https://media.example.com"}),
    ],
)
def test_azure_would_refuse_what_is_signed_for_a_strange_place(
    field: str, fields: dict[str, str]
) -> None:
    store: dict[str, object] = {"access_key": "acme", "secret_key": "c2VjcmV0", **fields}
    known = {"DRAGON_STORES": msgspec.json.encode({"media": store}).decode()}
    assert load_settings(None, known).stores["media"].url == fields["url"]
    known["DRAGON_STORES"] = msgspec.json.encode(
        {"media": {**store, "presigned_seconds": 60}}
    ).decode()
    words = refusal(None, **known)
    assert words.startswith(f"stores.media.{field}: {fields[field]!r}: for presigned_seconds ")


@pytest.mark.parametrize("name", ["signed", "", "a b", "a/b", "x" * 33])
def test_a_store_needs_a_plain_name(name: str) -> None:
    stores = msgspec.json.encode({name: {"url": "s3://media"}}).decode()
    assert refusal(None, DRAGON_STORES=stores).startswith(f"stores: {name!r} cannot be used")


def test_outputs_go_to_a_store_that_there_is() -> None:
    words = "output_store: 'media' is none of the stores: there are none"
    assert refusal(None, DRAGON_OUTPUT_STORE="media") == words


@pytest.mark.parametrize("name", [".", ".."])
def test_no_account_is_named_like_a_directory_above(name: str) -> None:
    accounts = msgspec.json.encode([{"name": name}]).decode()
    assert "DRAGON_ACCOUNTS: " in refusal(None, DRAGON_ACCOUNTS=accounts)
