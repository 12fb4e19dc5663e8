"""Which keys a store takes: plain segments, so that every backend can hold them and none is a way out."""

from __future__ import annotations

import re

from mlship_runtime.errors import StoreFault

MAX_KEY = 512
_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?")


def check_key(key: str) -> str:
    """`key` if a store may hold it; raises StoreFault otherwise."""
    return _check(_KEY, key, "key")


def check_prefix(prefix: str) -> str:
    """`prefix` if keys can begin with it (empty: all do); raises StoreFault otherwise."""
    return _check(_PREFIX, prefix, "prefix")


def is_segment(name: str) -> bool:
    """Whether `name` can be a part of a key."""
    return _KEY.fullmatch(name) is not None and "/" not in name


def _check(form: re.Pattern[str], text: str, word: str) -> str:
    if len(text) > MAX_KEY or not form.fullmatch(text):
        raise StoreFault(
            f"{text[:100]!r} is not a {word} of a store",
            fix=f"Use parts of A-Z a-z 0-9 . _ - that begin with no dot, and {MAX_KEY} characters at most",
        )
    return text
