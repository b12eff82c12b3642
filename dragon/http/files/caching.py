"""How long, and for whom, caches on the way may keep a redirect to a file."""

from math import inf

NO_STORE = "no-store"


def cache_control(
    fresh_seconds: float,
    *,
    is_public: bool = True,
    stale_seconds: float = 0,
    left_seconds: float = inf,
) -> str:
    """`Cache-Control` of a redirect that holds for `fresh_seconds`.

    For `stale_seconds` more it may be used while it is asked for again; never for longer than
    `left_seconds`, when what it leads to is gone. Where headers decided who may have it, it is
    for the browser alone that sent them: a cache that many share would give it to anybody.
    """
    fresh = int(min(fresh_seconds, left_seconds))
    if fresh < 1:
        return NO_STORE
    words = ["public" if is_public else "private", f"max-age={fresh}"]
    if stale := int(min(stale_seconds, left_seconds - fresh)):
        words.append(f"stale-while-revalidate={stale}")
    return ", ".join(words)
