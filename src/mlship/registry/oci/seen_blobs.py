"""Remembers in which repository of a registry a blob was last seen, so that another can have it mounted."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from mlship.config.folders import cache_dir
from mlship.digest import hex_of

_LONGEST = 256


def remember(root: str, repository: str, digest: str) -> None:
    """Never fails: it is a cache."""
    file = _file(root, digest)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(repository)
        Path(name).replace(file)


def seen_in(root: str, digest: str) -> str | None:
    """The repository, if one is remembered; it may be gone by now."""
    try:
        text = _file(root, digest).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return text if 0 < len(text) <= _LONGEST and text.isprintable() else None


def _file(root: str, digest: str) -> Path:
    place = hashlib.sha256(root.encode()).hexdigest()[:16]
    return cache_dir() / "oci-blobs" / place / hex_of(digest)
