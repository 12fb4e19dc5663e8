"""Writes a bundle as one file; the same bundle, tag, platforms and attachments give the same bytes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mlship.bundle.exchange.attached import attached_to, content
from mlship.bundle.exchange.layout import (
    INDEX_PATH,
    LAYOUT,
    LAYOUT_PATH,
    Index,
    blob_path,
    carried,
    chosen,
    write_index,
)
from mlship.bundle.fault import as_bundle_error
from mlship.bundle.open import OpenBundle
from mlship.errors import RegistryError
from mlship.progress import SILENT, Progress
from mlship_runtime.bundle.ustar import END, header, padding


@dataclass(frozen=True)
class Written:
    """The file's `size` in bytes, the platforms whose layers it has, the titles of layers left out, and how
    many attachments went along."""

    size: int
    platforms: tuple[str, ...]
    left_out: tuple[str, ...]
    attachments: int = 0


def export_file(
    bundle: OpenBundle, path: Path, words: Sequence[str] = (), progress: Progress = SILENT
) -> Written:
    """Write `bundle` to `path`, with the runtime layers of the platforms that `words` name (none: of all) and
    all that is attached to it.

    What was at `path` is replaced when the new file is whole and on the disk. Raises UsageError for a
    platform that the bundle has not, BundleError for damage, RegistryError if the file cannot be written.
    """
    manifest = bundle.manifest
    platforms = chosen(manifest, words)
    partial = platforms != manifest.platforms
    blobs = carried(manifest, platforms if partial else None)
    _refuse_absent(bundle, [blob.digest for blob in blobs])
    tag = bundle.reference.tag_or_latest if not bundle.reference.digest else ""
    with as_bundle_error():
        said = attached_to(bundle)
    some = platforms if partial else None
    index = Index(bundle.digest, len(bundle.manifest_bytes), tag, some, said.referrers)
    sizes = {bundle.digest: len(bundle.manifest_bytes)} | {blob.digest: blob.size for blob in blobs}
    progress.phase(f"exporting {bundle.reference}", sum(sizes.values()), unit="bytes")
    with as_bundle_error(), new_file(path) as file:
        for name, data in ((LAYOUT_PATH, LAYOUT), (INDEX_PATH, write_index(index))):
            file.write(header(name, len(data)) + data + padding(len(data)))
        for digest, size in sizes.items():
            file.write(header(blob_path(digest), size))
            for chunk in bundle.blob(digest):
                file.write(chunk)
                progress.advance(len(chunk))
            file.write(padding(size))
        for digest, blob in said.blobs.items():
            data = content(bundle.registry, bundle.reference.name, blob)
            file.write(header(blob_path(digest), len(data)) + data + padding(len(data)))
        file.write(END)
        written = file.tell()
    titles = tuple(layer.title for layer in manifest.layers if layer.digest not in sizes)
    return Written(written, platforms, titles, len(said.referrers))


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that comes to be at `path` when the block ends well: whole, and on the disk."""
    part = path.with_name(f"{path.name}.part-{secrets.token_hex(4)}")
    try:
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RegistryError(f"{path} cannot be written", cause=error.strerror or str(error)) from error


def _refuse_absent(bundle: OpenBundle, digests: Sequence[str]) -> None:
    lacking = [layer for layer in bundle.manifest.layers if layer.digest in bundle.absent]
    if any(layer.digest in digests for layer in lacking):
        raise RegistryError(
            f"{bundle.reference} is not whole in {bundle.registry.url}: "
            f"it lacks {', '.join(layer.title for layer in lacking)}",
            cause="it was imported or pulled for some platforms only",
            fix="Export those that are here with --platform, or all from where it is whole",
        )
