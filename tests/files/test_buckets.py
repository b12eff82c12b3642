"""One store of files: a real S3 server, whole, slow, failing or cut off."""

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

from dragon.errors import StorageRefused, StorageUnavailable
from dragon.storage.bucket import Bucket
from dragon.storage.parts import PART_BYTES
from tests.files.places import LARGE, PATH, keep, random_file
from tests.support.decoders import Logs
from tests.support.http_faults import Fault, FaultyServer, Request, choose
from tests.support.s3 import ACCESS_KEY, PREFIX, SECRET_KEY, Look
from tests.support.waiting import DEADLINE_SECONDS, eventually


@pytest.fixture
def impatient(look: Look, faulty: FaultyServer) -> Bucket:
    """It gives up soon, unless it just waits: a busy machine takes a while for a large part."""
    return Bucket("media", look.settings(faulty.url, retry_seconds=0.5))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check_words(error: StorageUnavailable, logs: Logs, look: Look, faulty: FaultyServer) -> None:
    """Neither the client nor the log gets what is not theirs."""
    assert error.__cause__ is error.__context__ is None
    told = error.message + repr(logs)
    for secret in (look.name, faulty.url, "127.0.0.1", PREFIX, ACCESS_KEY, SECRET_KEY, "Signature"):
        assert secret not in told
    assert [line["event"] for line in logs] == ["store_failed"]


# Keeping


@pytest.mark.parametrize("size", [0, 1, 1000, LARGE])
async def test_a_file_is_moved_with_its_type(
    bucket: Bucket, look: Look, tmp_path: Path, size: int
) -> None:
    file = random_file(tmp_path, size)
    content = file.read_bytes()
    assert await keep(bucket, file) == size
    assert not file.exists()
    assert look.paths() == [PATH]
    assert look.get(PATH) == ("image/jpeg", content)
    assert look.unfinished() == []


async def test_a_file_that_was_moved_before_lies_there_already(
    bucket: Bucket, look: Look, tmp_path: Path
) -> None:
    file = random_file(tmp_path)
    await keep(bucket, file)
    assert await keep(bucket, file) == 1000
    random_file(tmp_path, 7)
    assert await keep(bucket, file) == 7
    assert len(look.get(PATH)[1]) == 7


async def test_a_file_that_was_never_made_is_missed(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await keep(bucket, tmp_path / "none")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(status=429),
        Fault(delay_seconds=60),
        Fault(bytes_up=0),
        Fault(bytes_up=700),
        Fault(bytes_down=0),
        Fault(bytes_down=20),
    ],
    ids=repr,
)
@pytest.mark.parametrize("size", [1000, LARGE])
async def test_a_fault_that_passes_is_not_noticed(
    look: Look, faulty: FaultyServer, tmp_path: Path, fault: Fault, size: int
) -> None:
    patience = {"timeout_seconds": 3.0, "retry_seconds": 20.0}
    bucket = Bucket("media", look.settings(faulty.url, **patience))
    faulty.choose = choose(fault, 1, "PUT")
    file = random_file(tmp_path, size)
    expected = digest(file.read_bytes())
    assert await keep(bucket, file) == size
    assert faulty.count("PUT") > (2 if size == LARGE else 1)
    assert digest(look.get(PATH)[1]) == expected
    assert look.unfinished() == []


async def test_a_large_upload_is_whole_though_every_answer_to_its_end_was_lost(
    impatient: Bucket, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    faulty.choose = choose(Fault(bytes_down=0), method="POST", part="uploadId")
    file = random_file(tmp_path, LARGE)
    expected = digest(file.read_bytes())
    assert await keep(impatient, file) == LARGE
    assert digest(look.get(PATH)[1]) == expected
    assert look.unfinished() == []


@pytest.mark.parametrize(
    "fault",
    [Fault(status=500), Fault(status=503), Fault(bytes_up=700), Fault(delay_seconds=60)],
    ids=repr,
)
@pytest.mark.parametrize("size", [1000, LARGE])
async def test_a_fault_that_stays_is_one_error_and_leaves_nothing(
    look: Look,
    faulty: FaultyServer,
    tmp_path: Path,
    logs: Logs,
    fault: Fault,
    size: int,
) -> None:
    # What was begun must be aborted in as short a time as the part is waited for.
    patience = {"timeout_seconds": 8.0 if size == LARGE else 2.0} if fault.delay_seconds else {}
    impatient = Bucket("media", look.settings(faulty.url, retry_seconds=0.5, **patience))
    faulty.choose = choose(fault, method="PUT")
    file = random_file(tmp_path, size)
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(StorageUnavailable, match="does not answer") as caught:
            await keep(impatient, file)
    check_words(caught.value, logs, look, faulty)
    assert file.exists()
    assert look.paths() == []
    assert look.unfinished() == []


@pytest.mark.parametrize("part", ["uploads=", "partNumber=2", "uploadId"])
async def test_whatever_step_of_a_large_upload_fails_its_parts_are_deleted(
    impatient: Bucket, look: Look, faulty: FaultyServer, tmp_path: Path, part: str
) -> None:
    method = "PUT" if "part" in part else "POST"
    faulty.choose = choose(Fault(status=500), method=method, part=part)
    with pytest.raises(StorageUnavailable):
        await keep(impatient, random_file(tmp_path, LARGE))
    assert look.paths() == []
    assert look.unfinished() == []


async def test_a_large_upload_that_is_cancelled_leaves_nothing(
    bucket: Bucket, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    def choice(request: Request) -> Fault:
        # Whoever is held up meanwhile still comes before the last.
        is_late = request.method == "PUT" and faulty.count("PUT") > 6
        return Fault(delay_seconds=5.0 if is_late else 0.5)

    faulty.choose = choice
    upload = asyncio.create_task(keep(bucket, random_file(tmp_path, 8 * PART_BYTES)))
    # Two parts are there, and two are under way.
    await eventually(lambda: faulty.count("PUT", "partNumber") >= 4)
    assert look.unfinished() != []
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    # It is not waited for as long as it may take.
    await eventually(lambda: look.unfinished() == [])
    assert look.paths() == []


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_refusal_is_told_at_once(
    bucket: Bucket, look: Look, faulty: FaultyServer, tmp_path: Path, logs: Logs, status: int
) -> None:
    faulty.choose = choose(Fault(status=status))
    with pytest.raises(StorageRefused, match="refuses what it is asked for") as caught:
        await keep(bucket, random_file(tmp_path))
    assert len(faulty.requests) == 1
    check_words(caught.value, logs, look, faulty)


@pytest.mark.parametrize("is_bulk", [True, False])
async def test_a_bucket_that_is_not_there_is_no_missing_file(
    look: Look, logs: Logs, is_bulk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DISABLE_BULK_DELETE", str(not is_bulk).lower())
    bucket = Bucket("media", look.settings(url="s3://another-bucket"))
    with pytest.raises(StorageRefused):
        await bucket.delete_below("a")
    with pytest.raises(StorageRefused):
        await bucket.delete(["a/b"])
    assert [line["code"] for line in logs] == ["NoSuchBucket"] * 2


async def test_a_server_that_is_not_there_does_not_answer(look: Look, tmp_path: Path) -> None:
    settings = look.settings("http://127.0.0.1:1", retry_seconds=0.3)
    with pytest.raises(StorageUnavailable, match="does not answer"):
        await keep(Bucket("media", settings), random_file(tmp_path))


# Reading


async def read(bucket: Bucket, start: int = 0, piece_bytes: int = 300) -> bytes:
    stored = await bucket.about(PATH)
    return b"".join(
        [piece async for piece in bucket.read(PATH, stored, start, stored.size, piece_bytes)]
    )


async def test_a_file_is_read_in_pieces(bucket: Bucket, look: Look, faulty: FaultyServer) -> None:
    look.put(PATH, bytes(range(250)) * 4)
    stored = await bucket.about(PATH)
    assert (stored.size, len(stored.etag)) == (1000, 34)
    assert await read(bucket) == bytes(range(250)) * 4
    assert faulty.count("GET") == 4
    assert await read(bucket, 995) == bytes(range(245, 250))


async def test_an_empty_file_is_read(bucket: Bucket, look: Look) -> None:
    look.put(PATH, b"")
    assert await read(bucket) == b""


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(bytes_down=500)], ids=repr)
async def test_a_fault_that_passes_leaves_no_gap(
    bucket: Bucket, look: Look, faulty: FaultyServer, fault: Fault
) -> None:
    content = random.Random(1).randbytes(100_000)
    look.put(PATH, content)
    faulty.choose = choose(fault, 2, "GET")
    assert await read(bucket, piece_bytes=40_000) == content


async def test_a_fault_that_stays_breaks_off_a_read(
    impatient: Bucket, look: Look, faulty: FaultyServer
) -> None:
    look.put(PATH, b"x" * 100_000)
    faulty.choose = choose(Fault(bytes_down=5000), method="GET")
    with pytest.raises(StorageUnavailable):
        await read(impatient, piece_bytes=50_000)


async def test_what_changes_while_it_is_read_is_no_mixture(bucket: Bucket, look: Look) -> None:
    look.put(PATH, b"a" * 1000)
    stored = await bucket.about(PATH)
    pieces = bucket.read(PATH, stored, 0, 1000, 500)
    assert await anext(pieces) == b"a" * 500
    look.put(PATH, b"b" * 1000)
    with pytest.raises(FileNotFoundError):
        await anext(pieces)


async def test_a_missing_file_is_no_failure_of_the_store(bucket: Bucket, logs: Logs) -> None:
    with pytest.raises(FileNotFoundError):
        await bucket.about(PATH)
    assert logs == []


# Deleting


async def test_files_are_deleted_and_missing_ones_are_fine(bucket: Bucket, look: Look) -> None:
    for name in ("a", "b", "c"):
        look.put(name, b"x")
    await bucket.delete(["a", "none", "c"])
    assert look.paths() == ["b"]
    await bucket.delete([])


async def test_all_below_a_folder_is_deleted_and_nothing_beside_it(
    bucket: Bucket, look: Look
) -> None:
    for path in ("acme/1/KEY/1/a", "acme/1/KEY/2/b", "acme/1/KEYS/1/c", "acme/1/KEY-2"):
        look.put(path, b"x")
    await bucket.delete_below("acme/1/KEY")
    assert look.paths() == ["acme/1/KEY-2", "acme/1/KEYS/1/c"]
    await bucket.delete_below("acme/1/KEY")


async def test_a_store_that_is_away_says_so_when_files_are_to_be_deleted(
    impatient: Bucket, look: Look, faulty: FaultyServer
) -> None:
    look.put("acme/a", b"x")
    faulty.choose = choose(Fault(status=503))
    with pytest.raises(StorageUnavailable):
        await impatient.delete(["acme/a"])
    with pytest.raises(StorageUnavailable):
        await impatient.delete_below("acme")
    assert look.paths() == ["acme/a"]
