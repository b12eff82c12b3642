"""Stores of each cloud: whose keys are used, and what Google's own client does over the wire."""

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.json import encode

from dragon.errors import InvalidSettings, StorageRefused, StorageUnavailable
from dragon.settings import StoreSettings
from dragon.storage.bucket import Bucket
from dragon.storage.parts import PART_BYTES
from tests.files.places import LARGE, PATH, keep, random_file
from tests.support.fetching import serving
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.s3 import ACCESS_KEY, PREFIX, Look
from tests.support.waiting import DEADLINE_SECONDS


@pytest.fixture
def google(look: Look, faulty: FaultyServer) -> Bucket:
    """The protocol for objects is the same as that of S3, so its server answers."""
    account = {
        "type": "service_account",
        "disable_oauth": True,
        "private_key": "",
        "private_key_id": "",
        "client_email": "",
        "client_id": "",
    }
    url, key = f"gs://{look.name}/{PREFIX}", encode(account).decode()
    settings = look.settings(faulty.url, url=url, access_key="", region="", secret_key=key)
    return Bucket("media", settings)


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_google_keeps_reads_and_deletes(
    google: Bucket, look: Look, tmp_path: Path, size: int
) -> None:
    file = random_file(tmp_path, size)
    content = file.read_bytes()
    assert await keep(google, file) == size
    assert look.get(PATH) == ("image/jpeg", content)
    stored = await google.about(PATH)
    assert stored.size == size
    pieces = [piece async for piece in google.read(PATH, stored, 7, size, PART_BYTES)]
    assert b"".join(pieces) == content[7:]
    await google.delete([PATH])
    assert look.paths() == []
    with pytest.raises(FileNotFoundError):
        await google.about(PATH)


async def test_a_large_upload_to_google_that_fails_leaves_nothing(
    google: Bucket, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    faulty.choose = choose(Fault(status=403), method="PUT", part="partNumber=2")
    with pytest.raises(StorageUnavailable):
        await keep(google, random_file(tmp_path, LARGE))
    assert look.paths() == look.unfinished() == []


async def test_files_that_google_misses_hold_up_no_others(
    google: Bucket, look: Look, faulty: FaultyServer
) -> None:
    paths = [f"acme/{number}" for number in range(30)]
    for path in paths:
        look.put(path, b"meow")
    faulty.choose = choose(Fault(status=404), 20, method="DELETE")
    async with asyncio.timeout(DEADLINE_SECONDS):
        await google.delete(paths)
        assert len(look.paths()) <= 20
        await google.delete_below("acme")
    assert look.paths() == []


async def test_keys_of_the_settings_are_not_mixed_with_a_session_of_the_environment(
    bucket: Bucket,
    faulty: FaultyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
    url = await bucket.signed_url(PATH, 60)
    assert url.startswith(f"{faulty.url}/")
    assert f"Credential={ACCESS_KEY}%2F" in url
    assert "X-Amz-Expires=60&" in url
    assert "Security-Token" not in url


async def test_a_url_is_signed_for_the_method_that_asks(bucket: Bucket) -> None:
    get, head = "", ""
    # The second in which they are signed must be the same.
    while not get or _signed_at(get) != _signed_at(head):
        get, head = [await bucket.signed_url(PATH, 60, is_head=one) for one in (False, True)]
    assert get != head


def _signed_at(url: str) -> list[str]:
    return re.findall(r"X-Amz-Date=\w+", url)


async def test_without_keys_those_of_the_environment_are_used(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    settings = look.settings(access_key="", secret_key="")
    assert "AKIAENVIRONMENT" in await Bucket("media", settings).signed_url(PATH, 60)


async def test_google_signs_with_a_service_account() -> None:
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "private_key": private.decode(),
        "private_key_id": "1",
        "client_email": "dragon@example.com",
        "client_id": "1",
    }
    settings = StoreSettings(url="gs://media/kept", secret_key=encode(account).decode())
    url = await Bucket("media", settings).signed_url(PATH, 60)
    assert url.startswith(f"https://storage.googleapis.com/media/kept/{PATH}?")


async def test_azure_signs_with_the_key_of_an_account() -> None:
    settings = StoreSettings(url="az://media/kept", access_key="acme", secret_key="c2VjcmV0")
    url = await Bucket("media", settings).signed_url(PATH, 60)
    assert url.startswith(f"https://acme.blob.core.windows.net/media/kept/{PATH}?")


def test_a_key_that_is_none_is_told_at_the_start_without_quoting_it() -> None:
    settings = StoreSettings(url="gs://media", secret_key='{"private_key": "very secret"')
    with pytest.raises(InvalidSettings, match=r"stores\.media cannot be used") as caught:
        Bucket("media", settings)
    assert "very secret" not in str(caught.value) + repr(caught.value.__context__)


def test_a_public_url_stands_before_the_path() -> None:
    settings = StoreSettings(url="s3://media/kept", public_url="https://cdn.example.com/m/")
    assert Bucket("media", settings).public_url(PATH) == f"https://cdn.example.com/m/{PATH}"


@pytest.mark.parametrize(
    ("code", "failure"), [("AccessDenied", StorageRefused), ("InternalError", StorageUnavailable)]
)
async def test_one_object_of_many_that_s3_does_not_delete_is_told_as_it_is_meant(
    look: Look, code: str, failure: type[StorageUnavailable]
) -> None:
    about = f"<Key>{PREFIX}/a</Key><Code>{code}</Code><Message>Words (of it)</Message>"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=f"<DeleteResult><Error>{about}</Error></DeleteResult>")

    async with serving(answer) as url:
        bucket = Bucket("media", look.settings(url, retry_seconds=0.3))
        with pytest.raises(StorageUnavailable) as caught:
            await bucket.delete(["a", "b"])
    assert type(caught.value) is failure
