"""Brings an image to where it shall be: a folder, or a repository; what is there already is not sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from mlship.digest import sha256
from mlship.errors import RegistryError
from mlship.image.documents import Blob
from mlship.image.layout import LayoutFolder
from mlship.progress import SILENT, Progress
from mlship.registry.flow import Flow
from mlship.registry.oci.profiles import refuses_form
from mlship.registry.oci.repository import Repository
from mlship.registry.oci.trouble import Refused
from mlship.result import Result

Document = tuple[bytes, str]  # and its media type


@dataclass(frozen=True)
class Parts:
    """An image: `documents` in the order to write them, the last is what a tag shall name; its blobs; what
    opens one of them; and in which registry and repository one may lie already."""

    documents: Sequence[Document]
    blobs: Sequence[Blob]
    content: Callable[[Blob], Callable[[], Iterable[bytes]]]
    near: Callable[[str], tuple[str, str] | None]


class Sent(Result, frozen=True, kw_only=True):
    """Blobs and bytes that were sent, and those that were there, or were mounted there."""

    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int


def send(
    parts: Parts,
    place: Repository | LayoutFolder,
    tag: str,
    progress: Progress = SILENT,
    still_may: Callable[[], object] = lambda: None,
) -> Sent:
    """Blobs first, then the documents, then `tag`; `still_may` is asked before them. Raises RegistryError,
    BundleError for damage on the way."""
    flow, sent = Flow(progress), []
    flow.begin("sending the image", sum(blob.size for blob in parts.blobs))

    def bring(blob: Blob) -> None:
        if isinstance(place, Repository):
            there = place.has_blob(blob.digest) or place.take_blob(blob.digest, parts.near(blob.digest))
        else:
            there = place.has_blob(blob.digest, blob.size)
        if there:
            flow.advance(blob.size)
            return
        place.write_blob(blob.digest, blob.size, partial(iter, flow.content(parts.content(blob))))
        sent.append(blob)

    if isinstance(place, LayoutFolder):
        place.prepare()
    flow.each(bring, sorted(parts.blobs, key=lambda blob: -blob.size))
    still_may()
    _write_documents(parts.documents, place, tag)
    bytes_sent = sum(blob.size for blob in sent)
    return Sent(
        sent_blobs=len(sent),
        sent_bytes=bytes_sent,
        present_blobs=len(parts.blobs) - len(sent),
        present_bytes=sum(blob.size for blob in parts.blobs) - bytes_sent,
    )


def _write_documents(documents: Sequence[Document], place: Repository | LayoutFolder, tag: str) -> None:
    if isinstance(place, LayoutFolder):
        for data, _ in documents[:-1]:
            place.write_blob(sha256(data), len(data), partial(iter, [data]))
        place.write_document(*documents[-1], tag)
        return
    try:
        for data, media_type in documents[:-1]:
            place.write_document(sha256(data), data, media_type)
        place.write_document(tag, *documents[-1])  # which the registry has by its digest, too, then
    except Refused as refusal:
        if refuses_form(refusal):
            raise RegistryError(
                f"{place.url} does not take an image in this form",
                cause=refusal.cause,
                fix="Build it with --profile docker, for one --platform",
            ) from None
        raise
