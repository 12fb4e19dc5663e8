"""Content digests in the OCI form `sha256:<64 hex>`.

Source of the form: OCI image specification, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlship.errors import BundleError, UsageError
from mlship_runtime.bundle.hashing import Hasher

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHUNK = 1 << 20  # bytes read at a time wherever content is streamed


def sha256(data: bytes) -> str:
    """The digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def parse_digest(text: str) -> str:
    """`text` if it is a digest; raises UsageError otherwise."""
    if not is_digest(text):
        raise UsageError(f"{text!r} is not a digest", fix="A digest is sha256: and 64 hexadecimal digits")
    return text


def hex_of(digest: str) -> str:
    """The hexadecimal part of a digest (names files and keys)."""
    return parse_digest(digest).removeprefix("sha256:")


def chunks_of(path: Path) -> Iterator[bytes]:
    """The content of a file, piece by piece. Raises OSError."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")


def checked(chunks: Iterable[bytes], digest: str, size: int | None = None) -> Iterator[bytes]:
    """Pass `chunks` on and raise BundleError at the end if they are not the content of `digest`.

    A consumer must not publish what it received before the iterator has ended.
    """
    seen, hasher = 0, Hasher()
    for chunk in chunks:
        seen += len(chunk)
        if size is not None and seen > size:
            break
        hasher.update(chunk)
        yield chunk
    if (size is not None and seen != size) or "sha256:" + hasher.hexdigest() != digest:
        raise BundleError(
            f"content of {digest[:19]}… is not what its digest says",
            cause="the bytes were damaged or exchanged where they are stored",
        )
