"""Every setting of the system: default, TOML file, environment, validated once."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_origin

import msgspec
from msgspec import Meta, Struct

from dragon.errors import InvalidSettings
from dragon.hints import base_of
from dragon.schemas import SIGNED
from dragon.urls import split_server_url, split_store_url, split_valkey_url
from dragon.webhook_signatures import is_secret

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Pauses = Annotated[tuple[NotNegative, ...], Meta(min_length=1)]
Share = Annotated[float, Meta(gt=0)]
NotEmpty = Annotated[str, Meta(min_length=1)]


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one account may have at once; none means no limit."""

    queued: Positive | None = None
    running: Positive | None = None
    per_minute: Positive | None = None


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key for browsers, good only on pages that a `referrers` entry matches."""

    key: NotEmpty
    referrers: tuple[NotEmpty, ...] = ()


class Account(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who may create tasks. `weight` is the account's share of busy workers."""

    name: Annotated[str, Meta(pattern=r"\A(?!\.\.?\Z)[A-Za-z0-9_.-]{1,64}\Z")]
    secrets: tuple[NotEmpty, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    webhook_secrets: tuple[NotEmpty, ...] = ()
    limits: Limits = Limits()
    weight: Share = 1.0


class Slots(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many jobs of each class one worker process runs at once."""

    fast: Positive = 100
    heavy: Positive = 2
    flow: Positive = 1000
    record: Positive = 8
    hook: Positive = 200


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A store of files besides the local disk. Keys left out are found as each cloud does it."""

    url: NotEmpty
    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    public_url: str = ""
    presigned_seconds: Annotated[int, Meta(ge=0, le=7 * 86_400)] = 0
    timeout_seconds: Seconds = 30.0
    retry_seconds: Seconds = 60.0
    is_source: bool = True


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes are in bytes, times in seconds. docs/settings.md explains each."""

    data: NotEmpty = "dragon-data"
    redis: str = ""
    redis_prefix: NotEmpty = "dragon"
    redis_timeout_seconds: Seconds = 4.0
    shards: Positive = 1
    accounts: tuple[Account, ...] = ()
    task_packages: tuple[NotEmpty, ...] = ("tasks",)
    stores: dict[str, StoreSettings] = {}
    output_store: str = ""

    public_url: str = ""
    max_body_bytes: Positive = 4 * 1024 * 1024
    max_body_depth: Positive = 32
    max_result_bytes: Positive = 1024 * 1024
    max_result_files: Positive = 1000
    max_answer_bytes: Positive = 32 * 1024 * 1024
    max_tasks_per_request: Positive = 10_000
    read_timeout_seconds: Seconds = 30.0
    write_timeout_seconds: Seconds = 30.0
    wait_seconds: NotNegative = 5.0
    max_wait_seconds: NotNegative = 60.0
    reuse_seconds: Annotated[int, Meta(ge=0)] = 3600
    idempotency_seconds: Positive = 86_400
    retention_seconds: Positive = 30 * 86_400
    volatile_seconds: Positive = 7 * 86_400
    drain_seconds: Seconds = 5.0

    slots: Slots = Slots()
    attempts: Positive = 3
    lease_seconds: Seconds = 10.0
    poll_seconds: Seconds = 2.0
    retry_base_seconds: Seconds = 1.0

    fetch_allow: tuple[str, ...] = ()
    fetch_ports: tuple[Positive, ...] = (80, 443, 8000, 8080, 8443)
    fetch_timeout_seconds: Seconds = 30.0
    fetch_min_bytes_per_second: Positive = 1024
    fetch_max_bytes: Positive = 100 * 1024 * 1024
    fetch_media_timeout_seconds: Seconds = 600.0
    fetch_media_max_bytes: Positive = 2 * 1024**3
    fetch_max_redirects: Annotated[int, Meta(ge=0)] = 5

    webhook_timeout_seconds: Seconds = 15.0
    webhook_retry_seconds: Pauses = (
        0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0
    )  # fmt: skip
    webhook_connections: Positive = 25
    webhook_account_connections: Positive = 100
    webhook_retention_seconds: Positive = 30 * 86_400

    decoders: Annotated[int, Meta(ge=0)] = 0
    decoder_max_jobs: Positive = 2000
    decoder_memory_bytes: Positive = 2 * 1024**3
    decoder_cpu_seconds: Positive = 60
    max_pixels: Positive = 100_000_000
    max_frames: Positive = 2_000
    max_streams: Positive = 32
    max_duration_seconds: Positive = 14_400
    max_video_frames: Positive = 1_000_000
    max_video_pixels: Positive = 2_000_000_000_000
    max_page_bytes: Positive = 10 * 1024 * 1024

    program_ffmpeg: str = ""
    program_memory_bytes: Positive = 4 * 1024**3
    program_max_file_bytes: Positive = 4 * 1024**3
    program_cpu_seconds: Positive = 4 * 3600

    log_format: Annotated[str, Meta(pattern=r"\A(auto|json|console)\Z")] = "auto"
    log_level: Annotated[str, Meta(pattern=r"\A(debug|info|warning|error)\Z")] = "info"


CLIENT_VARIABLES = ("DRAGON_CONFIG", "DRAGON_URL", "DRAGON_SECRET")
"""Variables that the command line reads for itself; they are no settings."""


_STORE_NAME = re.compile(r"\A[A-Za-z0-9_-]{1,32}\Z")
# Not every bracket begins JSON: [fd00::7]:9000 is an address.
_JSON_LIST = re.compile(r'\s*\[\s*(["{]|[\d\s,]*\]\s*\Z)')


def load_settings(
    config: str | None, environment: Mapping[str, str] = os.environ, **overrides: Any
) -> Settings:
    """Defaults, then the TOML file, then `DRAGON_<NAME>` variables, then `overrides` not None.

    Raises InvalidSettings, naming the file or variable and the setting.
    """
    path = config or environment.get("DRAGON_CONFIG")
    values = _from_file(path) if path else {}
    values |= _from_environment(environment)
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise InvalidSettings(f"settings: {error}") from None
    if settings.redis:
        split_valkey_url(settings.redis)
    _check_web_url("public_url", settings.public_url)
    _check_accounts(settings.accounts)
    _check_stores(settings)
    return settings


def _from_file(path: str) -> dict[str, Any]:
    try:
        values = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InvalidSettings(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path} is not valid TOML: {error}") from None
    try:
        msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise InvalidSettings(f"{path}: {error}") from None
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    fields = {"DRAGON_" + field.name.upper(): field for field in msgspec.structs.fields(Settings)}
    values = {}
    for variable, text in environment.items():
        if not variable.startswith("DRAGON_") or variable in CLIENT_VARIABLES:
            continue
        if variable not in fields:
            raise InvalidSettings(f"unknown setting {variable} in the environment")
        field = fields[variable]
        try:
            values[field.name] = msgspec.to_builtins(_parse(text, field.type))
        except msgspec.MsgspecError as error:
            raise InvalidSettings(f"{variable}: {error}") from None
    return values


def _parse(text: str, type_: Any) -> Any:
    """Text as a value of `type_`: plain for scalars, commas or JSON for lists, JSON for tables."""
    inner = base_of(type_)
    if get_origin(inner) is tuple and not _JSON_LIST.match(text):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return msgspec.convert(parts, type_, strict=False)
    is_table = get_origin(inner) is dict or (isinstance(inner, type) and issubclass(inner, Struct))
    if get_origin(inner) is tuple or is_table:
        return msgspec.json.decode(text, type=type_)
    return msgspec.convert(text, type_, strict=False)


def _check_web_url(name: str, text: str) -> None:
    if text and split_server_url(text) is None:
        words = "is not an http or https URL such as https://media.example.com"
        raise InvalidSettings(f"{name}: {text!r} {words}")


def _check_stores(settings: Settings) -> None:
    for name, store in settings.stores.items():
        if not _STORE_NAME.match(name) or name == SIGNED:
            words = "a store's name is 1 to 32 letters, digits, _ and -, and not"
            raise InvalidSettings(f"stores: {name!r} cannot be used: {words} {SIGNED!r}")
        url = split_store_url(store.url)
        if url is None:
            words = "is not of the form s3://bucket, gs://bucket or az://container, with"
            raise InvalidSettings(f"stores.{name}.url: {store.url!r} {words} /prefix or without")
        if store.url.startswith("s3:") and bool(store.access_key) != bool(store.secret_key):
            raise InvalidSettings(f"stores.{name}: access_key and secret_key belong together")
        _check_web_url(f"stores.{name}.endpoint", store.endpoint)
        _check_web_url(f"stores.{name}.public_url", store.public_url)
        if url.scheme == "az" and store.presigned_seconds:
            _check_azure_signs(f"stores.{name}", url.path, store)
    if settings.output_store and settings.output_store not in settings.stores:
        known = ", ".join(settings.stores) or "there are none"
        words = f"{settings.output_store!r} is none of the stores: {known}"
        raise InvalidSettings(f"output_store: {words}")


def _check_azure_signs(name: str, prefix: str, store: StoreSettings) -> None:
    """Azure would refuse all that the library signs of other forms."""
    if not re.fullmatch(r"[A-Za-z0-9/_.~-]*", prefix):
        words = "for presigned_seconds a prefix may have letters, digits and /_.~- only"
        raise InvalidSettings(f"{name}.url: {store.url!r}: {words}")
    if store.endpoint and store.access_key not in store.endpoint:
        words = f"for presigned_seconds it must name the account, {store.access_key!r}"
        raise InvalidSettings(f"{name}.endpoint: {store.endpoint!r}: {words}")


def _check_accounts(accounts: tuple[Account, ...]) -> None:
    names: set[str] = set()
    credentials: set[str] = set()
    for account in accounts:
        if account.name in names:
            raise InvalidSettings(f"accounts: two accounts have the name {account.name!r}")
        names.add(account.name)
        for credential in (*account.secrets, *(api_key.key for api_key in account.api_keys)):
            if credential in credentials:
                words = f"accounts: a secret or api key of {account.name!r} is given twice"
                raise InvalidSettings(words)
            credentials.add(credential)
        if not all(map(is_secret, account.webhook_secrets)):
            words = f"accounts: a webhook secret of {account.name!r} is not whsec_ and the base64"
            raise InvalidSettings(f"{words} of 24 to 64 random bytes")
