"""A real server of the S3 protocol, and a look into its buckets past Dragon."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from dragon.settings import StoreSettings
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE_SECONDS

ACCESS_KEY = "AKIADRAGON"
SECRET_KEY = "a-secret-key-of-the-store"
REGION = "eu-central-1"
PREFIX = "kept/here"


class S3:
    """The server; `address` is host:port."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(proxies={}),
        )

    def make_bucket(self) -> "Look":
        name = "bucket-" + secrets.token_hex(6)
        self.client.create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        return Look(self.client, name, self.address)


class Look:
    """Into one bucket."""

    def __init__(self, client: Any, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._client = client

    def settings(self, endpoint: str = "", **fields: Any) -> StoreSettings:
        """A store with a prefix in this bucket, which is not given up: the machine may be slow."""
        known = {
            "url": f"s3://{self.name}/{PREFIX}",
            "endpoint": endpoint or f"http://{self.address}",
            "region": REGION,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "timeout_seconds": DEADLINE_SECONDS,
            "retry_seconds": DEADLINE_SECONDS,
        }
        return StoreSettings(**{**known, **fields})

    def paths(self) -> list[str]:
        """Of all objects, below the prefix."""
        found = self._client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return sorted(one["Key"].removeprefix(PREFIX + "/") for one in found)

    def get(self, path: str) -> tuple[str, bytes]:
        """Type and content; raises FileNotFoundError."""
        try:
            found = self._client.get_object(Bucket=self.name, Key=f"{PREFIX}/{path}")
        except self._client.exceptions.NoSuchKey:
            raise FileNotFoundError(path) from None
        return found["ContentType"], found["Body"].read()

    def put(self, path: str, content: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=f"{PREFIX}/{path}", Body=content)

    def delete(self, path: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=f"{PREFIX}/{path}")

    def signed_put(self, path: str, content_type: str, endpoint: str = "") -> str:
        """Where anybody may put this object, of this type, once."""
        url = self._client.generate_presigned_url(
            "put_object",
            Params={"Bucket": self.name, "Key": f"{PREFIX}/{path}", "ContentType": content_type},
        )
        assert isinstance(url, str)
        return url.replace(f"http://{self.address}", endpoint) if endpoint else url

    def unfinished(self) -> list[str]:
        """Uploads that were neither completed nor aborted, and have parts.

        Nobody can abort one whose beginning nobody was told of, but it has none.
        """
        found = self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [one["Key"] for one in found if self._has_parts(one)]

    def _has_parts(self, upload: Any) -> bool:
        found = self._client.list_parts(
            Bucket=self.name, Key=upload["Key"], UploadId=upload["UploadId"]
        )
        return bool(found.get("Parts"))


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server as a child process, on a port that is free."""
    command = [sys.executable, "-m", "tests.support.s3_server"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        yield S3(f"127.0.0.1:{int(server.stdout.readline())}")
    finally:
        server.kill()
        server.wait(DEADLINE_SECONDS)
        assert server.stdout
        server.stdout.close()
