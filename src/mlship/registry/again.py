"""Content that is sent again where a connection broke."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlship.errors import RegistryError


def again(chunks: Iterable[bytes]) -> Callable[[], Iterable[bytes]]:
    """A call that gives the chunks anew, or fails in words the second time if they cannot be had again."""
    calls = iter(range(1 << 30))

    def given() -> Iterable[bytes]:
        if next(calls) and iter(chunks) is chunks:
            raise RegistryError(
                "the connection broke, and what was being sent cannot be read again", fix="Run it again"
            )
        return chunks

    return given
