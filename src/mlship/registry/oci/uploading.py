"""Brings a blob to a registry: by mounting it from another repository, in one piece, or in chunks where a
server (or a proxy before it) takes no large bodies.

Source: OCI distribution specification 1.1, "Pushing blobs".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from urllib.parse import quote

from mlship.errors import RegistryError
from mlship.registry.oci.client import Client
from mlship.registry.oci.trouble import Passing, Refused

Content = Callable[[], Iterable[bytes]]

_TOO_LARGE = (413, 405, 501)  # what stands for "not in one piece"
_CHUNKS = (16 << 20, 512 << 10)  # what is tried, in bytes; the last fits the 1 MiB that proxies allow
_CUTS_OF_ONE_PIECE = 3  # after these, chunks are tried
_LARGEST_MINIMUM = 64 << 20
_PIECE = (
    128 << 10
)  # bytes that one call hands to the system: each has the whole time limit, on a slow line too
_STORING = 8 << 20  # bytes a second that a registry may need to store what it got


class Uploading:
    """One blob into `repository`. `content` gives its bytes anew for each try."""

    def __init__(self, client: Client, repository: str, digest: str, size: int, content: Content) -> None:
        self.client, self.repository = client, repository
        self.digest, self.size, self.content = digest, size, content
        self._chunks: list[int] = []  # empty: in one piece
        self._cuts = 0

    def run(self) -> None:
        """Send it; each try begins anew, as a session does not outlive a cut."""
        while True:
            try:
                self.client.repeat(self._try)
            except Refused as refusal:
                if refusal.status not in _TOO_LARGE or self.size == 0 or not self._smaller():
                    raise
            else:
                return

    def _smaller(self) -> bool:
        """Go from one piece to chunks, or to smaller ones; False if there is nothing smaller."""
        if not self._chunks:
            self._chunks = [*_CHUNKS]
            return True
        self._chunks.pop(0)
        return bool(self._chunks)

    def _try(self) -> None:
        place, least = self._session()
        try:
            if self._chunks:
                place = self._send_chunks(place, max(least, self._chunks[0]))
                self._finish(place, None)
            else:
                self._finish(place, self.content)
        except Passing:
            self._cuts += 1
            if self._cuts == _CUTS_OF_ONE_PIECE and not self._chunks and self.size > _CHUNKS[0]:
                self._smaller()  # a proxy that takes no large bodies may cut before it is heard
            raise
        except Refused as refusal:
            if refusal.status == 404:  # the session is gone: the registry was started anew, or cleaned up
                raise Passing(refusal.what, cause=refusal.cause) from None
            raise

    def _session(self) -> tuple[str, int]:
        """Where the bytes go, and how many a chunk must have at least."""
        path = f"/v2/{self.repository}/blobs/uploads/"
        response = self.client.once(
            self._doing,
            "POST",
            path,
            scopes=push_scopes(self.repository),
            headers={"Content-Length": "0"},
            good=(202,),
        )
        self.client.transport.discard(response)
        least = response.headers.get("OCI-Chunk-Min-Length", "0")
        bound = min(int(least), _LARGEST_MINIMUM) if least.isdigit() else 0
        return self._location(self.client.address.root + path, response.headers.get("Location")), bound

    def _send_chunks(self, place: str, length: int) -> str:
        begin = 0
        for chunk in _regrouped(self.content(), length):
            response = self.client.once(
                self._doing,
                "PATCH",
                place,
                scopes=push_scopes(self.repository),
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(len(chunk)),
                    "Content-Range": f"{begin}-{begin + len(chunk) - 1}",
                },
                body=partial(_in_pieces, partial(iter, [chunk])),
                good=(202,),
            )
            self.client.transport.discard(response)
            place = self._location(place, response.headers.get("Location"))
            begin += len(chunk)
        return place

    def _finish(self, place: str, content: Content | None) -> None:
        mark = "&" if "?" in place else "?"
        response = self.client.once(
            self._doing,
            "PUT",
            f"{place}{mark}digest={quote(self.digest)}",
            scopes=push_scopes(self.repository),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(self.size if content else 0),
            },
            body=partial(_in_pieces, content) if content else None,
            good=(201, 204),
            longer=self.size / _STORING,
        )
        self.client.transport.discard(response)

    def _location(self, url: str, target: str | None) -> str:
        if not target:
            raise RegistryError(
                f"cannot {self._doing} in {self.client.address.url}", cause="it does not say where"
            )
        return self.client.transport.located(url, target)

    @property
    def _doing(self) -> str:
        return f"store the blob {self.digest[:19]}…"


def mount(client: Client, repository: str, digest: str, source: str) -> bool:
    """Let `repository` have a blob that the registry keeps in the repository `source`; False if not."""
    path = f"/v2/{repository}/blobs/uploads/"
    scopes = (*push_scopes(repository), f"repository:{source}:pull")

    def tried() -> bool:
        response = client.once(
            f"mount the blob {digest[:19]}…",
            "POST",
            f"{path}?mount={quote(digest)}&from={quote(source, safe='')}",
            scopes=scopes,
            headers={"Content-Length": "0"},
            good=(201, 202),
        )
        client.transport.discard(response)
        if response.status == 202:  # an upload session that nobody wants
            _drop(client, client.address.root + path, response.headers.get("Location"), scopes)
        return response.status == 201

    try:
        return tried()
    except RegistryError:
        return False  # sending it says what is wrong, if anything is


def push_scopes(repository: str) -> tuple[str, ...]:
    """What a token must allow for writing to `repository`."""
    return (f"repository:{repository}:pull,push",)


def _drop(client: Client, url: str, target: str | None, scopes: tuple[str, ...]) -> None:
    if target:
        place = client.transport.located(url, target)
        good = (200, 202, 204, 404, 405)
        client.transport.discard(client.once("end an upload", "DELETE", place, scopes=scopes, good=good))


def _in_pieces(content: Content) -> Iterator[bytes]:
    for piece in content():
        for at in range(0, len(piece), _PIECE):
            yield piece[at : at + _PIECE]


def _regrouped(pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The same bytes in pieces of `length`; the last one may be shorter."""
    kept = bytearray()
    for piece in pieces:
        kept += piece
        while len(kept) >= length:
            yield bytes(kept[:length])
            del kept[:length]
    if kept:
        yield bytes(kept)
