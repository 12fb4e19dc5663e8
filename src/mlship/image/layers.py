"""The content of a layer of an image as a plain tar: compared with its digests, and bounded."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from mlship.digest import checked
from mlship.errors import BundleError, RegistryError
from mlship.image.documents import Blob
from mlship.image.forms import is_gzip
from mlship.image.places import ImagePlace, damaged
from mlship_runtime.bundle.extract import HashedStream
from mlship_runtime.bundle.ustar import CHUNK, ChunkStream

MAX_UNPACKED = 32 << 30  # bytes of one layer
_GZIP = 16 + zlib.MAX_WBITS


class OpenLayer:
    """A Stream of the tar in `blob`, which unpacked is `diff_id`."""

    def __init__(self, place: ImagePlace, blob: Blob, diff_id: str) -> None:
        self._place, self._blob, self._diff_id = place, blob, diff_id
        stored = checked(place.blob(blob.digest, blob.size), blob.digest, blob.size)
        plain = _inflated(stored, str(self)) if is_gzip(blob.media_type) else stored
        self._stream = HashedStream(ChunkStream(_bounded(plain, str(self))))

    def __str__(self) -> str:
        return f"the layer {self._blob.digest[:19]}… of {self._place.url}"

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except BundleError as error:  # it is not what its digest says
            raise damaged(self._blob.digest, self._place) from error

    def finish(self) -> None:
        """Read what is left; RegistryError if the whole was something else than the base's config says."""
        while self.read(CHUNK):
            continue
        if self._stream.digest != self._diff_id:
            raise RegistryError(
                f"{self} unpacks to something else than its config says", cause="the image is damaged"
            )


def _inflated(chunks: Iterable[bytes], place: str) -> Iterator[bytes]:
    """All members of a gzip file; at most CHUNK bytes at once, whatever they expand to."""
    inflater = zlib.decompressobj(_GZIP)
    begun = False
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if inflater.eof:
                    inflater, begun = zlib.decompressobj(_GZIP), False
                piece = inflater.decompress(data, CHUNK)
                begun = True
                data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                if piece:
                    yield piece
            while not inflater.eof and (piece := inflater.decompress(b"", CHUNK)):
                yield piece
    except zlib.error as error:
        raise RegistryError(f"{place} is no sound gzip", cause=str(error)) from error
    if begun and not inflater.eof:
        raise RegistryError(f"{place} is no sound gzip", cause="it ends in its middle")


def _bounded(chunks: Iterable[bytes], place: str) -> Iterator[bytes]:
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > MAX_UNPACKED:
            raise RegistryError(f"{place} unpacks to more than {MAX_UNPACKED} bytes")
        yield chunk
