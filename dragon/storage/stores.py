"""The stores of the settings, by name and by the addresses that sources have."""

from collections.abc import Mapping

from dragon.settings import Settings
from dragon.storage.bucket import Bucket
from dragon.urls import StoreUrl, split_store_url


class Stores:
    """All of them."""

    def __init__(self, settings: Settings) -> None:
        self._buckets: Mapping[str, Bucket] = {
            name: Bucket(name, store) for name, store in settings.stores.items()
        }
        self.chosen = self._buckets.get(settings.output_store)
        """The one for outputs; None is the local disk."""

    def get(self, name: str) -> Bucket | None:
        """None for one that the settings do not have any more."""
        return self._buckets.get(name)

    def find_source(self, url: str) -> tuple[Bucket, str] | None:
        """The store that holds what `s3://bucket/key` names, and the path there; None if none does.

        Of several the one with the longest prefix.
        """
        asked = split_store_url(url)
        if asked is None:
            return None
        found = [
            (bucket, path)
            for bucket in self._buckets.values()
            if bucket.settings.is_source and (path := _path_below(bucket.settings.url, asked))
        ]
        return min(found, key=lambda one: len(one[1]), default=None)


def _path_below(store_url: str, asked: StoreUrl) -> str:
    """What is left of a path once the store's prefix is taken off; empty where it is not in it."""
    store = split_store_url(store_url)
    if store is None or (store.scheme, store.bucket) != (asked.scheme, asked.bucket):
        return ""
    if not store.path:
        return asked.path
    head, slash, tail = asked.path.partition(store.path + "/")
    return tail if slash and not head else ""
