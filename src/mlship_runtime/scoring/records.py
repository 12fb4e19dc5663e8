"""Where records end in the bytes of a text file: a newline ends one unless it stands between quotes, and a
quote that is never closed takes its own line with it and no more."""

from __future__ import annotations

from collections.abc import Iterator

QUOTE, NEWLINE = b'"', b"\n"


def last_end(data: bytes) -> int:
    """The end of the last record in `data` that is complete; 0 if none is."""
    end = data.rfind(NEWLINE) + 1
    if QUOTE not in data:
        return end
    odd = data.count(QUOTE, 0, end) % 2
    while end and odd:
        before = data.rfind(NEWLINE, 0, end - 1) + 1
        odd ^= data.count(QUOTE, before, end) % 2
        end = before
    return end


def first_end(data: bytes) -> int:
    """The end of the first record; 0 if it is not complete."""
    end = data.find(NEWLINE) + 1
    while end and data.count(QUOTE, 0, end) % 2:
        end = data.find(NEWLINE, end) + 1
    return end


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The records of `data`, without their ends, each with the number of its first line, from 0."""
    lines = data.split(NEWLINE)
    if not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        first, record = at, lines[at]
        at += 1
        if record.count(QUOTE) % 2:
            closing = next((n for n in range(at, len(lines)) if lines[n].count(QUOTE) % 2), None)
            if closing is not None:
                record, at = NEWLINE.join(lines[first : closing + 1]), closing + 1
        yield first, record[:-1] if record.endswith(b"\r") else record
