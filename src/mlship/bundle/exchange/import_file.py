"""Reads a bundle out of one file, in one pass, and publishes it only when all of it was right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass

from mlship.bundle.exchange.attached import read_attached
from mlship.bundle.exchange.layout import (
    INDEX_PATH,
    LAYOUT,
    LAYOUT_PATH,
    MAX_INDEX,
    blob_path,
    carried,
    read_index,
)
from mlship.bundle.manifest import check_config
from mlship.bundle.source import AttachmentSink, BundleSink, PartialSink, announced
from mlship.digest import checked
from mlship.errors import UsageError
from mlship.progress import SILENT, Progress
from mlship.reference import check_name, check_tag
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.agreement import check_agreement
from mlship_runtime.bundle.manifest import Descriptor, Manifest, digest_of, read_manifest
from mlship_runtime.bundle.spec import MAX_SPEC_BYTES, Spec, read_spec
from mlship_runtime.bundle.ustar import CHUNK, MemberReader, Stream, members
from mlship_runtime.errors import InvalidBundle

Members = Iterator[tuple[str, int, MemberReader]]
Passing = Callable[[str, Manifest, Spec], AbstractContextManager[Callable[[], object]]]


def _free(digest: str, manifest: Manifest, spec: Spec) -> AbstractContextManager[Callable[[], object]]:
    return nullcontext(lambda: None)


@dataclass(frozen=True)
class Taken:
    """What was read: `absent` are the titles of layers that neither the file nor the sink has,
    `sent_attachments` those that were new."""

    name: str
    tag: str
    digest: str
    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int
    absent: tuple[str, ...]
    sent_attachments: int


def import_file(
    stream: Stream,
    sink: AttachmentSink,
    *,
    partial_sink: PartialSink | None = None,
    passing: Passing = _free,
    published: Callable[[Taken], None] = lambda taken: None,
    progress: Progress = SILENT,
) -> Taken:
    """Copy the bundle in `stream`, and what is attached to it, to `sink`; a file of some platforms goes to
    `partial_sink` if there is one. `published` is called while nothing of it can be collected yet: it is the
    time to set the tag. `passing` may forbid all of it, before anything is stored and before it is published.

    Raises InvalidBundle or BundleError for a file that is not, byte for byte, one that `export_file` writes,
    and UsageError if it has some platforms only and the sink cannot keep that. No manifest is published then.
    """
    entries = members(stream)
    if _small(entries, LAYOUT_PATH, len(LAYOUT)) != LAYOUT:
        raise InvalidBundle(f"{LAYOUT_PATH} names another version", cause="the file is of a newer mlship")
    index = read_index(_small(entries, INDEX_PATH, MAX_INDEX))
    data = _small(entries, blob_path(index.digest), canonical.MAX_BYTES)
    if len(data) != index.size or digest_of(data) != index.digest:
        raise InvalidBundle("the manifest is not what its digest says", cause="the file was damaged")
    manifest = read_manifest(data)
    name, tag = _named(manifest, index.tag)
    blobs = carried(manifest, index.platforms)
    left_out = _left_out(manifest, blobs, index.platforms)
    with announced(sink, name, index.digest, [blob.digest for blob in manifest.blobs]), ExitStack() as stack:
        absent = tuple(layer for layer in left_out if not sink.has_blob(name, layer.digest))
        if absent and partial_sink is None:
            raise _only_some(absent)
        progress.phase(f"importing {name}", sum(blob.size for blob in blobs), unit="bytes")
        documents = _documents(entries, manifest)
        spec = read_spec(documents[manifest.spec_layer.digest])
        still_may = stack.enter_context(passing(index.digest, manifest, spec))
        sent = [blob for blob in blobs if not sink.has_blob(name, blob.digest)]
        for blob in blobs:
            chunks = _content(entries, blob, documents)
            _store(sink, name, blob, _counted(chunks, progress), new=blob in sent)
        attached = read_attached(index, manifest, lambda path, limit: _small(entries, path, limit))
        if next(entries, None) is not None:
            raise InvalidBundle("the file has more than its bundle")
        still_may()
        if absent and partial_sink is not None:
            partial_sink.write_partial_manifest(name, data, frozenset(layer.digest for layer in absent))
        else:
            sink.write_manifest(name, data)
        there = set(sink.attachments(name, index.digest))
        new = [(attachment, data) for attachment, data in attached if attachment not in there]
        for attachment, data in new:
            sink.attach(name, index.digest, attachment.media_type, data)
        size = sum(blob.size for blob in sent)
        taken = Taken(
            name=name,
            tag=tag,
            digest=index.digest,
            sent_blobs=len(sent),
            sent_bytes=size,
            present_blobs=len(blobs) - len(sent),
            present_bytes=sum(blob.size for blob in blobs) - size,
            absent=tuple(layer.title for layer in absent),
            sent_attachments=len(new),
        )
        published(taken)
        return taken


def _next(entries: Members, path: str) -> tuple[int, MemberReader]:
    found, size, reader = next(entries, ("", 0, None))
    if reader is None:
        raise InvalidBundle(f"the file ends where {path} should come")
    if found != path:
        raise InvalidBundle(
            f"the file has {found!a} where {path} should come",
            cause="it was changed, or made by another tool",
        )
    return size, reader


def _small(entries: Members, path: str, limit: int) -> bytes:
    size, reader = _next(entries, path)
    if size > limit:
        raise InvalidBundle(f"{path} has {size} bytes", cause=f"at most {limit} are read")
    return b"".join(iter(lambda: reader.read(CHUNK), b""))


def _documents(entries: Members, manifest: Manifest) -> dict[str, bytes]:
    """Config and spec, which come first: what disagrees is refused before a layer is read."""
    found: dict[str, bytes] = {}
    for blob in (manifest.config, manifest.spec_layer):
        if blob.digest in found:
            raise InvalidBundle("config and mlship.json are one blob")
        data = _small(entries, blob_path(blob.digest), MAX_SPEC_BYTES)
        found[blob.digest] = b"".join(checked([data], blob.digest, blob.size))
    config = canonical.decode(found[manifest.config.digest])
    check_config(config, (layer.digest for layer in manifest.layers))
    check_agreement(manifest, read_spec(found[manifest.spec_layer.digest]))
    return found


def _content(entries: Members, blob: Descriptor, documents: dict[str, bytes]) -> Iterator[bytes]:
    if blob.digest in documents:
        return iter((documents[blob.digest],))
    size, reader = _next(entries, blob_path(blob.digest))
    if size != blob.size:
        raise InvalidBundle(f"{blob.title} has {size} bytes where the manifest says {blob.size}")
    return iter(lambda: reader.read(CHUNK), b"")


def _store(sink: BundleSink, name: str, blob: Descriptor, chunks: Iterator[bytes], *, new: bool) -> None:
    """Write what is new; what is there already is still compared with its digest."""
    if new:
        sink.write_blob(name, blob.digest, blob.size, chunks)
    else:
        for _ in checked(chunks, blob.digest, blob.size):
            continue


def _counted(chunks: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    for chunk in chunks:
        progress.advance(len(chunk))
        yield chunk


def _named(manifest: Manifest, tag: str) -> tuple[str, str]:
    try:
        return check_name(manifest.name), check_tag(tag) if tag else ""
    except UsageError as error:
        raise InvalidBundle(error.what) from error


def _left_out(
    manifest: Manifest, blobs: list[Descriptor], platforms: tuple[str, ...] | None
) -> list[Descriptor]:
    if platforms is not None:
        known = [name for name in manifest.platforms if name in platforms]
        if tuple(known) != platforms or platforms == manifest.platforms:
            raise InvalidBundle(f"{INDEX_PATH} names other platforms than the manifest has")
    held = {blob.digest for blob in blobs}
    return [layer for layer in manifest.layers if layer.digest not in held]


def _only_some(absent: tuple[Descriptor, ...]) -> UsageError:
    return UsageError(
        f"the file has some platforms only, without {', '.join(layer.title for layer in absent)}",
        cause="a registry keeps whole bundles",
        fix="Import it in a project's folder, without naming a registry, and deploy it from there",
    )
