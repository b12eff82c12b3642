"""Names of everything in Valkey: keys of a shard, and channels."""

import base64
import hashlib
import secrets

from dragon.schemas import CHANNEL_LENGTH, KEY_LENGTH, Kind, new_key

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Keys:
    """`<prefix>:{<shard>}:<name>`: one hash tag for each shard, so that a script may use them all.

    The shard of a job can be told from its key. The scripts' common.lua lists all names.
    """

    def __init__(self, prefix: str, shards: int) -> None:
        self._prefix = prefix
        self.shards = shards
        self.channels = f"{prefix}:"

    def base(self, shard: int) -> str:
        return f"{self._prefix}:{{{shard}}}:"

    def shard_of(self, key: str) -> int:
        digits = key[CHANNEL_LENGTH : CHANNEL_LENGTH + 2]
        return (_DIGITS.index(digits[0]) * 32 + _DIGITS.index(digits[1])) % self.shards

    def job(self, key: str) -> str:
        return f"{self.base(self.shard_of(key))}job:{key}"

    def new_job_key(self, channel: str, shard: int) -> str:
        """A key whose updates go to `channel` and whose record lies in `shard`."""
        while True:
            key = new_key(channel)
            if self.shard_of(key) == shard:
                return key

    def child_key(self, parent: str, place: bytes) -> str:
        """The key of a job's child: always the same for the same place.

        It lies in the parent's shard, and all children of a job have one channel, which is not
        the parent's: on that one all jobs of a server are heard.
        """
        channel = _digest(parent.encode())[:CHANNEL_LENGTH]
        rest = _digest(parent.encode() + b" " + place)
        return channel + parent[CHANNEL_LENGTH : CHANNEL_LENGTH + 2] + rest[CHANNEL_LENGTH + 2 :]

    def hook_key(self, task: str) -> str:
        """The key of the delivery that tells a job's end."""
        return self.child_key(task, b"webhook")

    def shard_for(self, fingerprint: str | None) -> int:
        """Where a request's jobs go: by its fingerprint, so that a repeated one finds them."""
        if self.shards == 1:
            return 0
        if fingerprint is None:
            return secrets.randbelow(self.shards)
        return int(fingerprint[:8], 16) % self.shards

    def status_channel(self, channel: str) -> str:
        return f"{self.channels}status:{channel}"

    @property
    def cancelled_channel(self) -> str:
        return f"{self.channels}cancelled"

    @property
    def outdated_channel(self) -> str:
        """Keys of jobs whose records servers must read again, between blanks; none means all."""
        return f"{self.channels}outdated"

    def wake_channel(self, kind: Kind) -> str:
        return f"{self.channels}wake:{kind}"

    def take_channel(self, worker: str) -> str:
        return f"{self.channels}take:{worker}"


def _digest(text: bytes) -> str:
    return base64.b32encode(hashlib.sha256(text).digest()[:16]).decode()[:KEY_LENGTH]
