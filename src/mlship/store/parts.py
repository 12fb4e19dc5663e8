"""A long value in parts: cut, sent a few at a time, and hashed as they come.

Parts begin at the same offsets for the same size, so that a repeat finds what a killed writer sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mlship.errors import RegistryError

PART = 8 << 20  # bytes; so many at once are in memory as are being sent, and one more
AT_ONCE = 4

T = TypeVar("T")


class LengthError(RegistryError):
    """Not so many bytes came as were announced."""


def part_size(size: int | None, most: int, part: int = PART) -> int:
    """Bytes of each part but the last where a store takes `most` parts: `part`, or a double of it."""
    while size is not None and size > part * most:
        part *= 2
    return part


def cut(chunks: Iterable[bytes], part: int) -> Iterator[bytes]:
    """The same bytes in pieces of `part`, the last one shorter; one empty piece if there is nothing."""
    held: list[bytes] = []
    length, any_yet = 0, False
    for chunk in chunks:
        view = memoryview(chunk)
        while length + len(view) >= part:
            held.append(bytes(view[: part - length]))
            view = view[part - length :]
            yield b"".join(held)
            held, length, any_yet = [], 0, True
        if view:
            held.append(bytes(view))
            length += len(view)
    if held or not any_yet:
        yield b"".join(held)


def measured(chunks: Iterable[bytes], key: str, size: int | None) -> Iterator[bytes]:
    """Pass `chunks` on; LengthError if there are not `size` bytes in them (None: any number)."""
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        yield chunk
    if size is not None and seen != size:
        raise LengthError(f"{seen} bytes came for {key} where {size} were announced")


def in_order(jobs: Iterable[Callable[[], T]], at_once: int = AT_ONCE) -> Iterator[T]:
    """What the jobs return, in their order, `at_once` of them running ahead. The first error comes out, and
    what has not begun by then never does."""
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="parts")
    running: deque[Future[T]] = deque()
    try:
        for job in jobs:
            if len(running) >= at_once:
                yield running.popleft().result()
            running.append(pool.submit(job))
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
