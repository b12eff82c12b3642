"""Makes the library's client of a store from its settings."""

from base64 import b64decode
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from dragon.errors import InvalidSettings
from dragon.settings import StoreSettings
from dragon.urls import StoreUrl, split_store_url

if TYPE_CHECKING:
    from obstore.store import S3Store

_LONGEST_PAUSE_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 30.0


def connect(name: str, settings: StoreSettings) -> "S3Store":
    """A client; nothing is asked of the store yet. All kinds have the same methods.

    Raises InvalidSettings.
    """
    url = split_store_url(settings.url)
    assert url  # noqa: S101 - the settings were checked
    makers: Any = {"s3": _s3, "gs": _google, "az": _azure}
    try:
        return cast("S3Store", makers[url.scheme](url, settings, _options(settings)))
    except Exception as error:
        # Not in the library's words, which may quote a key.
        failure = type(error).__name__
    raise InvalidSettings(f"stores.{name} cannot be used, are its keys right? ({failure})")


def _options(settings: StoreSettings) -> dict[str, Any]:
    """Tries are bounded by time alone."""
    timeout = timedelta(seconds=settings.timeout_seconds)
    connect_timeout = min(timeout, timedelta(seconds=_CONNECT_SECONDS))
    return {
        "client_options": {
            "allow_http": settings.endpoint.startswith("http://"),
            "timeout": timeout,
            "connect_timeout": connect_timeout,
            "pool_idle_timeout": timedelta(seconds=_IDLE_SECONDS),
        },
        "retry_config": {
            "max_retries": 1_000,
            "retry_timeout": timedelta(seconds=settings.retry_seconds),
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=_LONGEST_PAUSE_SECONDS),
                "base": 2,
            },
        },
    }


def _s3(url: StoreUrl, settings: StoreSettings, options: dict[str, Any]) -> Any:
    from obstore.store import S3Store

    more: dict[str, Any] = {}
    if settings.access_key:
        # So that nothing of the environment, such as a session's token, is mixed with them.
        more["credential_provider"] = lambda: {
            "access_key_id": settings.access_key,
            "secret_access_key": settings.secret_key,
            "token": None,
            "expires_at": None,
        }
    if settings.endpoint:
        more["endpoint"] = settings.endpoint.rstrip("/")
    if settings.region or settings.endpoint:
        more["region"] = settings.region or "us-east-1"
    return S3Store(url.bucket, prefix=url.path or None, **more, **options)


def _google(url: StoreUrl, settings: StoreSettings, options: dict[str, Any]) -> Any:
    from obstore.store import GCSStore

    more: dict[str, Any] = {}
    if settings.secret_key:
        more["service_account_key"] = settings.secret_key
    if settings.endpoint:
        more["base_url"] = settings.endpoint.rstrip("/")
    return GCSStore(url.bucket, prefix=url.path or None, **more, **options)


def _azure(url: StoreUrl, settings: StoreSettings, options: dict[str, Any]) -> Any:
    from obstore.store import AzureStore

    more: dict[str, Any] = {}
    if settings.access_key:
        more["account_name"] = settings.access_key
    if settings.secret_key:
        # The library looks at it later.
        b64decode(settings.secret_key, validate=True)
        # So that no token of the environment goes before it.
        more["credential_provider"] = lambda: {
            "access_key": settings.secret_key,
            "expires_at": None,
        }
    if settings.endpoint:
        more["endpoint"] = settings.endpoint.rstrip("/")
    return AzureStore(url.bucket, prefix=url.path or None, **more, **options)
