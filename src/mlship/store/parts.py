"""A long value in parts: cut, sent a few at a time, and hashed as they come.

Parts begin at the same offsets for the same size, so that a repeat finds what a killed writer sent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from mlship.errors import RegistryError

PART = 6 << 20  # bytes; S3 takes no less than 5 MiB
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
    """The same bytes in pieces of `part`, the last one shorter; one empty piece if there is nothing. A piece
    that was taken is held no longer."""
    held: list[bytes] = []
    length, any_yet = 0, False
    for chunk in chunks:
        if not held and len(chunk) == part:
            yield chunk
            any_yet = True
            continue
        view = memoryview(chunk)
        while length + len(view) >= part:
            held.append(bytes(view[: part - length]))
            view = view[part - length :]
            yield _joined(held)
            length, any_yet = 0, True
        if view:
            held.append(bytes(view))
            length += len(view)
    if held or not any_yet:
        yield _joined(held)


def onward(ahead: list[bytes], pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces that were looked at already, then the rest; `ahead` is emptied."""
    while ahead:
        yield ahead.pop(0)
    yield from pieces


def measured(chunks: Iterable[bytes], key: str, size: int | None) -> Iterator[bytes]:
    """Pass `chunks` on; LengthError if there are not `size` bytes in them (None: any number)."""
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        yield chunk
    if size is not None and seen != size:
        raise LengthError(f"{seen} bytes came for {key} where {size} were announced")


class Lanes:
    """How much may be on its way at once: `at_once` jobs, in all transfers of one store together, so that
    several values at a time need little more memory than one."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once, self._free = at_once, threading.Semaphore(at_once)

    def in_order(self, jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
        """What the jobs return, in their order. The first error comes out, and what has not begun by then
        never does."""
        pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="parts")
        running: deque[Future[T]] = deque()
        try:
            for job in jobs:
                if len(running) >= self._at_once:
                    yield running.popleft().result()
                self._free.acquire()
                future = pool.submit(job)
                future.add_done_callback(lambda _: self._free.release())
                running.append(future)
                del job, future  # with them the part
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _joined(held: list[bytes]) -> bytes:
    whole = b"".join(held)
    held.clear()
    return whole
