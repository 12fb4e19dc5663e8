"""Reads a blob from its first byte to its last, going on where a connection was cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from mlship.errors import BundleError, RegistryError
from mlship.registry.oci.speaker import Speaker
from mlship.registry.oci.transport import Response
from mlship.registry.oci.trouble import Passing, Refused, TooSlow

Ask = Callable[[Mapping[str, str]], Response]

_MOST_CUTS = 100
_MOST_SLOW = 3
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")


class BlobReading:
    """One blob of `size` bytes. What comes is not yet compared with its digest, but never more.

    `ask` asks for it with the headers that it is given; an answer is 200 or 206.
    """

    def __init__(self, speaker: Speaker, digest: str, size: int, ask: Ask) -> None:
        self.speaker, self.digest, self.size, self.ask = speaker, digest, size, ask
        self._got = 0

    def pieces(self) -> Iterator[bytes]:
        """All of it. A try that brought something is no failed one, but there are not to be too many."""
        slow = 0
        for number in range(_MOST_CUTS):
            if number and self._got == self.size:
                return
            first = self.speaker.repeat(self._next)
            if first is None:
                return
            rest, piece = first
            yield piece
            try:
                for piece in rest:
                    yield self._counted(piece)
            except TooSlow:
                slow += 1
                if slow == _MOST_SLOW:
                    raise
                continue
            except Passing:
                continue
            if self._got < self.size:
                raise self._lie(f"{self._got} bytes")
            return
        raise RegistryError(
            f"the connection to {self.speaker.url} broke {_MOST_CUTS} times in one blob",
            fix="Try again on a better line; what arrived whole is kept",
        )

    def _next(self) -> tuple[Iterator[bytes], bytes] | None:
        """The pieces of an answer that goes on where we are, after its first one; None for an empty blob."""
        response = self.ask({"Range": f"bytes={self._got}-"} if self._got else {})
        try:
            skip = self._begins_at(response)
            pieces = self.speaker.transport.pieces(response)
            for piece in pieces:
                new = piece[skip:] if skip < len(piece) else b""
                skip -= len(piece) - len(new)
                if new:
                    return pieces, self._counted(new)
        except BaseException:
            response.close()
            raise
        if self._got < self.size:
            raise self._lie(f"{self._got} bytes")
        return None

    def _begins_at(self, response: Response) -> int:
        """How many bytes of the answer are known already. BundleError if it is not of this blob."""
        length = response.headers.get("Content-Length")
        if response.status == 200:
            if length is not None and length != str(self.size):
                raise self._lie(f"{length} bytes")
            return self._got
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != self._got or found[3] not in (str(self.size), "*"):
            raise Refused(
                f"cannot go on reading {self.digest[:19]}… in {self.speaker.url}",
                cause="it sends another part than it was asked for",
                status=206,
            )
        return 0

    def _counted(self, piece: bytes) -> bytes:
        self._got += len(piece)
        if self._got > self.size:
            raise self._lie("more")
        return piece

    def _lie(self, found: str) -> BundleError:
        return BundleError(
            f"the blob {self.digest[:19]}… in {self.speaker.url} has {found}, not {self.size} bytes",
            cause="it was damaged or exchanged there",
        )
