"""A bundle of which each blob is fetched and checked once, however many hosts it is sent to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from mlship.bundle.open import OpenBundle


@dataclass(frozen=True, kw_only=True)
class FetchedOnce(OpenBundle):
    """Asked by several threads; what lies in no file of this machine is kept in `folder`."""

    folder: Path
    _found: dict[str, Path] = field(default_factory=dict)
    _turn: Lock = field(default_factory=Lock)

    def file(self, digest: str) -> Path:
        with self._turn:
            if digest not in self._found:
                self._found[digest] = super().file(digest) or super().fetch(digest, self.folder)
            return self._found[digest]


@contextmanager
def fetched_once(bundle: OpenBundle) -> Iterator[FetchedOnce]:
    """`bundle` for several hosts; what was fetched goes at the end."""
    with tempfile.TemporaryDirectory(prefix="mlship-send-") as folder:
        yield FetchedOnce(
            bundle.registry,
            bundle.reference,
            bundle.digest,
            bundle.manifest_bytes,
            bundle.manifest,
            bundle.spec,
            folder=Path(folder),
        )
