"""SHA-256 as S3 keeps it: of the whole object, or of the hashes of its parts (`<base64>-<their number>`)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

PART_SIZE = "mlship-part"  # metadata of an object that came in parts: bytes of each but the last


def sha256_of(data: bytes) -> str:
    """Base64, as S3 wants it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def composite(parts: list[str]) -> str:
    """The checksum of an object whose parts have these."""
    return f"{sha256_of(b''.join(base64.b64decode(part) for part in parts))}-{len(parts)}"


class Checksum:
    """Compares what is read with what an answer to GetObject says of it, where it says anything."""

    def __init__(self, answer: Any) -> None:
        self._said = str(answer.get("ChecksumSHA256") or "")
        part = str(answer.get("Metadata", {}).get(PART_SIZE, ""))
        self._size, self._length = answer["ContentLength"], 0
        self._in_parts = "-" in self._said
        self._part = int(part) if self._in_parts and part.isascii() and part.isdigit() else 0
        self._parts: list[str] = []
        self._hasher, self._held = hashlib.sha256(), 0

    def update(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        self._length += len(view)
        while self._part and self._held + len(view) >= self._part:
            self._hasher.update(view[: self._part - self._held])
            view = view[self._part - self._held :]
            self._end_part()
        self._hasher.update(view)
        self._held += len(view)

    def fits(self) -> bool:
        """Whether all that came is what was said; a checksum of a kind that is not ours says nothing."""
        if self._length != self._size:
            return False
        if not self._said or (self._in_parts and not self._part):
            return True
        if self._in_parts:
            if self._held or not self._parts:
                self._end_part()
            return composite(self._parts) == self._said
        return base64.b64encode(self._hasher.digest()).decode() == self._said

    def _end_part(self) -> None:
        self._parts.append(base64.b64encode(self._hasher.digest()).decode())
        self._hasher, self._held = hashlib.sha256(), 0
