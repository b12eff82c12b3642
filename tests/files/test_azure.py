"""A store of Azure, as its own client speaks to it over the wire."""

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from dragon.errors import InvalidSettings, StorageRefused, StorageUnavailable
from dragon.storage.bucket import Bucket
from dragon.storage.parts import PART_BYTES
from tests.files.places import LARGE, PATH, keep, random_file
from tests.support.azure_server import MOST_IN_BATCH, PREFIX, Azure
from tests.support.azure_signatures import ACCOUNT
from tests.support.decoders import Logs
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.waiting import eventually


@pytest.fixture
def bucket(azure: Azure, faulty_azure: FaultyServer) -> Bucket:
    return Bucket("media", azure.settings(faulty_azure.url))


@pytest.fixture
def impatient(azure: Azure, faulty_azure: FaultyServer) -> Bucket:
    return Bucket("media", azure.settings(faulty_azure.url, retry_seconds=0.3))


# Keeping


@pytest.mark.parametrize("size", [0, 1000, LARGE])
async def test_a_file_is_moved_with_its_type_and_read(
    bucket: Bucket, azure: Azure, tmp_path: Path, size: int
) -> None:
    file = random_file(tmp_path, size)
    content = file.read_bytes()
    assert await keep(bucket, file) == size
    assert not file.exists()
    assert azure.paths() == [PATH]
    assert azure.get(PATH) == ("image/jpeg", content)
    stored = await bucket.about(PATH)
    assert (stored.size, stored.etag[:3]) == (size, '"0x')
    assert abs(stored.modified - datetime.now(UTC).timestamp()) < 600
    pieces = [piece async for piece in bucket.read(PATH, stored, 7, size, 4_000_000)]
    assert b"".join(pieces) == content[7:]


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(bytes_down=0)], ids=repr)
@pytest.mark.parametrize("part", ["cat.jpg", "comp=block&", "comp=blocklist"])
async def test_a_fault_that_passes_is_not_noticed(
    bucket: Bucket,
    azure: Azure,
    faulty_azure: FaultyServer,
    tmp_path: Path,
    fault: Fault,
    part: str,
) -> None:
    faulty_azure.choose = choose(fault, 1, "PUT", part)
    file = random_file(tmp_path, LARGE if "comp" in part else 1000)
    content = file.read_bytes()
    await keep(bucket, file)
    assert faulty_azure.count("PUT", part) > 1
    assert azure.get(PATH) == ("image/jpeg", content)


@pytest.mark.parametrize("part", ["comp=block&", "comp=blocklist"])
async def test_whatever_step_of_a_large_upload_fails_nothing_is_seen_of_it(
    impatient: Bucket, azure: Azure, faulty_azure: FaultyServer, tmp_path: Path, part: str
) -> None:
    faulty_azure.choose = choose(Fault(status=503), part=part)
    file = random_file(tmp_path, LARGE)
    with pytest.raises(StorageUnavailable):
        await keep(impatient, file)
    assert (azure.paths(), file.exists()) == ([], True)
    faulty_azure.choose = choose(Fault(), 0)
    content = file.read_bytes()
    await keep(impatient, file)
    assert azure.get(PATH)[1] == content


async def test_a_large_upload_that_is_cancelled_leaves_nothing(
    bucket: Bucket, azure: Azure, faulty_azure: FaultyServer, tmp_path: Path
) -> None:
    faulty_azure.choose = lambda _: Fault(delay_seconds=0.3)
    upload = asyncio.create_task(keep(bucket, random_file(tmp_path, 4 * PART_BYTES)))
    await eventually(lambda: faulty_azure.count("PUT", "comp=block&") > 1)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert azure.paths() == []
    assert faulty_azure.count("PUT", "comp=blocklist") == 0


async def test_a_wrong_key_is_refused_at_once(
    azure: Azure, faulty_azure: FaultyServer, tmp_path: Path, logs: Logs
) -> None:
    settings = azure.settings(faulty_azure.url, secret_key="d3Jvbmc=")
    with pytest.raises(StorageRefused) as caught:
        await keep(Bucket("media", settings), random_file(tmp_path))
    assert len(faulty_azure.requests) == 1
    [line] = logs
    assert (line["event"], line["status"]) == ("store_failed", "403")
    for secret in (ACCOUNT, azure.name, PREFIX, "d3Jvbmc=", "127.0.0.1"):
        assert secret not in caught.value.message + repr(logs)


# Reading


async def test_a_missing_file_is_no_failure_of_the_store(bucket: Bucket, logs: Logs) -> None:
    with pytest.raises(FileNotFoundError):
        await bucket.about(PATH)
    assert logs == []


async def test_what_changes_while_it_is_read_is_no_mixture(bucket: Bucket, azure: Azure) -> None:
    azure.put(PATH, b"a" * 1000)
    stored = await bucket.about(PATH)
    pieces = bucket.read(PATH, stored, 0, 1000, 500)
    assert await anext(pieces) == b"a" * 500
    azure.put(PATH, b"b" * 1000)
    with pytest.raises(FileNotFoundError):
        await anext(pieces)


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(bytes_down=500)], ids=repr)
async def test_a_fault_that_passes_leaves_no_gap(
    bucket: Bucket, azure: Azure, faulty_azure: FaultyServer, fault: Fault
) -> None:
    content = random.Random(1).randbytes(100_000)
    azure.put(PATH, content)
    stored = await bucket.about(PATH)
    faulty_azure.choose = choose(fault, 1, "GET")
    pieces = [piece async for piece in bucket.read(PATH, stored, 0, stored.size, 40_000)]
    assert b"".join(pieces) == content


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_anybody_may_read_by_a_signed_url_that_file_alone(
    bucket: Bucket, azure: Azure, method: str
) -> None:
    azure.put(PATH, b"meow")
    azure.put(PATH + "x", b"purr")
    url = await bucket.signed_url(PATH, 60, is_head=method == "HEAD")
    plain, _, signature = url.partition("?")
    statuses = {}
    async with aiohttp.ClientSession() as session:
        for asked in (url, plain, f"{plain}x?{signature}"):
            async with session.request(method, asked) as response:
                statuses[asked] = response.status
                if asked == url:
                    assert response.content_length == 4
    assert list(statuses.values()) == [200, 403, 403]


# Deleting


async def test_files_are_deleted_and_missing_ones_are_fine(bucket: Bucket, azure: Azure) -> None:
    for name in ("a", "b", "c"):
        azure.put(name, b"x")
    await bucket.delete(["a", "none", "c"])
    assert azure.paths() == ["b"]
    await bucket.delete([])
    await bucket.delete(["b"])
    await bucket.delete(["b"])
    assert azure.paths() == []


async def test_all_below_a_folder_is_deleted_and_nothing_beside_it(
    bucket: Bucket, azure: Azure, faulty_azure: FaultyServer
) -> None:
    beside = ["acme/1/KEY-2", "acme/1/KEYS/1/c"]
    many = [f"acme/1/KEY/1/{number}" for number in range(MOST_IN_BATCH + 1)]
    for path in (*beside, *many):
        azure.put(path, b"x")
    faulty_azure.choose = choose(Fault(status=503), 1, "POST")
    await bucket.delete_below("acme/1/KEY")
    assert azure.paths() == beside
    assert faulty_azure.count("POST", "comp=batch") == 3
    await bucket.delete_below("acme/1/KEY")


async def test_a_blob_that_must_stay_is_refused_and_holds_up_no_other(
    bucket: Bucket, azure: Azure, logs: Logs
) -> None:
    for name in ("a", "b", "c"):
        azure.put(name, b"x")
    azure.held.add("b")
    with pytest.raises(StorageRefused):
        await bucket.delete(["a", "b", "c"])
    assert azure.paths() == ["b"]
    assert [line["status"] for line in logs] == ["409"]


async def test_a_container_that_is_not_there_is_no_missing_file(azure: Azure, logs: Logs) -> None:
    bucket = Bucket("media", azure.settings(url="az://another"))
    with pytest.raises(StorageRefused):
        await bucket.delete_below("a")
    with pytest.raises(StorageRefused):
        await bucket.delete(["a/b"])
    assert [line["call"] for line in logs] == ["list", "delete"]


async def test_a_store_that_is_away_says_so_when_files_are_to_be_deleted(
    impatient: Bucket, azure: Azure, faulty_azure: FaultyServer
) -> None:
    azure.put("acme/a", b"x")
    faulty_azure.choose = choose(Fault(status=503))
    with pytest.raises(StorageUnavailable):
        await impatient.delete(["acme/a"])
    with pytest.raises(StorageUnavailable):
        await impatient.delete_below("acme")
    assert azure.paths() == ["acme/a"]


# Keys


def test_a_key_that_is_none_is_told_at_the_start(azure: Azure) -> None:
    with pytest.raises(InvalidSettings, match=r"stores\.media cannot be used"):
        Bucket("media", azure.settings(secret_key="no base64!"))


async def test_keys_of_the_settings_are_not_mixed_with_a_token_of_the_environment(
    azure: Azure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_TOKEN", "of-somebody-else")
    await keep(Bucket("media", azure.settings()), random_file(tmp_path))
    assert azure.paths() == [PATH]
