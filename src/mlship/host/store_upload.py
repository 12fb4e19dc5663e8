"""A long value on its way to a store on a host: in pieces, and not again those that are there."""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from mlship.errors import BundleError, RegistryError
from mlship.host.protocol import Lost
from mlship.host.store_session import Answer, StoreSession
from mlship.store.parts import LengthError

AHEAD = 8  # pieces of 1 MiB that are under way at a time: what a cut takes is sent again
_HASH = 32


class Sending:
    """The pieces of `key`, of `size` bytes if that is known, brought to their end by as many sessions as it
    takes."""

    def __init__(self, key: str, pieces: Iterator[bytes], size: int | None) -> None:
        self._key, self._pieces, self._whole = key, pieces, size
        self._hashes: list[bytes] = []  # of all pieces that were taken
        self._kept: deque[bytes] = deque()  # those at the end that may not be there yet
        self._size = 0
        self.failed: BaseException | None = None  # what the pieces raised, after which there are none

    def over(self, session: StoreSession, went_on: Callable[[], None]) -> bool:
        """Send what is left; False if the key is there. `went_on` is called for each piece that came.

        Raises Lost, after which another session may go on; RegistryError, and what the pieces raise.
        """
        begun = session.ask({"do": "begin", "key": self._key})
        upload = begun.fields.get("upload")
        if upload is None:
            return False
        try:
            self._send(session, upload, begun.data, went_on)
            if self._whole not in (None, self._size):
                raise LengthError(f"{self._size} bytes of {self._key} are there, and not {self._whole}")
        except BaseException as error:
            self._give_up(session, upload, error)
            raise
        done = session.ask({"do": "commit", "upload": upload, "size": self._size})
        return bool(done.fields["written"])

    def _send(self, session: StoreSession, upload: int, there: bytes, went_on: Callable[[], None]) -> None:
        known = [there[at : at + _HASH] for at in range(0, len(there), _HASH)]
        sure = len(self._hashes) - len(self._kept)
        if known[:sure] != self._hashes[:sure]:
            what = f"what was sent of {self._key} is gone there"
            raise RegistryError(what, fix="Run the same command again")
        under_way: deque[Future[Answer] | None] = deque()

        def arrived() -> None:
            if (future := under_way.popleft()) is not None:
                future.result()
                went_on()
            self._kept.popleft()

        for number, at, piece in self._onward():
            if number < len(known) and known[number] == self._hashes[number]:
                under_way.append(None)
            else:
                under_way.append(session.send({"do": "piece", "upload": upload, "at": at}, piece))
            del piece
            while len(under_way) >= AHEAD:
                arrived()
        while under_way:
            arrived()

    def _onward(self) -> Iterator[tuple[int, int, bytes]]:
        """Number, place and content of what may not be there: the pieces that are kept, then new ones."""
        kept = list(self._kept)
        number, at = len(self._hashes) - len(kept), self._size - sum(map(len, kept))
        for piece in kept:
            yield number, at, piece
            number, at = number + 1, at + len(piece)
        del kept
        for piece in self._taken():
            self._hashes.append(hashlib.sha256(piece).digest())
            self._kept.append(piece)
            self._size += len(piece)
            yield number, at, piece
            number, at = number + 1, at + len(piece)

    def _taken(self) -> Iterator[bytes]:
        """The rest of the pieces, which are left as they are when nobody takes more just now."""
        while True:
            try:
                piece = next(self._pieces)
            except StopIteration:
                return
            except BaseException as error:
                self.failed = error
                raise
            yield piece

    def _give_up(self, session: StoreSession, upload: int, error: BaseException) -> None:
        """Let the other end forget what came where that is wrong, and else leave it to a later writer."""
        with contextlib.suppress(Lost, RegistryError):
            if isinstance(error, BundleError | LengthError):
                session.ask({"do": "drop", "upload": upload})
            else:
                session.send({"do": "leave", "upload": upload})
