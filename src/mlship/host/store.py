"""A Store in a folder of a host: conditions are decided there, by the code that keeps the folder store.

A connection that broke is opened anew, and what was under way asked for again. Then a small write of which
no answer had come counts as done if what lies there is what was to be written.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeVar

from mlship.errors import RegistryError, TargetError
from mlship.host.protocol import Host, Lost
from mlship.host.store_session import Answer, StoreSession
from mlship.host.store_upload import AHEAD, Sending
from mlship.store.asking import Again, Patience, Trial, asked
from mlship.store.keys import check_key, check_prefix, is_segment
from mlship.store.parts import cut, measured, onward
from mlship.store.protocol import Stat
from mlship.store.trouble import as_registry_error
from mlship_runtime.store.folder import check_small, version_of
from mlship_runtime.store.upload import PIECE

_PATIENCE = 1.0  # seconds; who is just connecting does not keep a process that ends
_KEYS = 1000  # that are settled by one request
T = TypeVar("T")


class HostStore:
    """The Store in the folder `root` of `host` (`~/…` is below the home there), which is called `url`.
    `python` is an interpreter there, 3.9 or newer; `private` a folder above `root` that is made for its user
    alone. Not tied to a thread.

    Nothing is asked for before the first call, and reading leaves nothing there.
    """

    def __init__(
        self,
        host: Host,
        root: str,
        url: str,
        python: str = "python3",
        patience: Patience | None = None,
        private: str | None = None,
    ) -> None:
        self._url, self._link = url, _Link(host, root, url, python, private)
        self._patience = patience or Patience()
        weakref.finalize(self, self._link.close)

    @property
    def url(self) -> str:
        return self._url

    def stat(self, key: str) -> Stat | None:
        """See Store."""
        found = self._ask("stat", key=check_key(key)).fields
        return Stat(found["size"], found["version"]) if "version" in found else None

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small value and its version, which is its hash."""
        answer = self._ask("get", key=check_key(key))
        version = answer.fields.get("version")
        if version is None:
            return None
        if version_of(answer.data) != version:
            raise RegistryError(f"{key} in {self.url} was damaged on its way", fix="Repeat the command")
        return answer.data, version

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB, all of one value, of which some are asked for ahead."""
        return self._read(check_key(key), start, None if length is None else start + length)

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """See Store; what is not at hand is not asked for if the key is there. A long value comes in pieces,
        of which those that an earlier writer sent are not sent again."""
        check_key(key)
        pieces = cut(measured(chunks, key, size), PIECE)
        if isinstance(chunks, list | tuple):
            ahead = list(islice(pieces, 2))
            if len(ahead) == 1:
                return self._put(key, ahead[0])
            pieces = onward(ahead, pieces)
        trial, sending = self._trial(), Sending(key, pieces, size)
        with self._told():
            while True:
                try:
                    return sending.over(self._link.session(), trial.went_on)
                except TargetError as error:
                    if error is sending.failed:
                        break
                    trial.failed(error)
        raise sending.failed  # the chunks' own error, which is not that of this store

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """See Store."""
        with as_registry_error():
            check_small(check_key(key), data)

        def swap(session: StoreSession, unsure: bool) -> str | None:
            asked = {"do": "swap", "key": key, "version": version}
            written: str | None = session.ask(asked, data).fields["version"]
            return version_of(data) if written is None and unsure and _holds(session, key, data) else written

        return self._again(swap)

    def delete_if_match(self, key: str, version: str) -> bool:
        """See Store. Folders that become empty stay."""
        check_key(key)

        def delete(session: StoreSession, unsure: bool) -> bool:
            removed = session.ask({"do": "delete", "key": key, "version": version}).fields["removed"]
            return bool(removed or (unsure and "version" not in _stat(session, key)))

        return self._again(delete)

    def settle(self, keys: Collection[str]) -> None:
        """See Settles."""
        left = sorted(map(check_key, keys))
        for at in range(0, len(left), _KEYS):
            self._ask("settle", "\n".join(left[at : at + _KEYS]).encode())

    def list(self, prefix: str) -> Iterator[str]:
        """See Store; a key that comes or goes meanwhile may be in the list or not."""
        said = self._ask("list", prefix=check_prefix(prefix)).data.decode(errors="replace")
        for key in said.split("\n") if said else ():
            if key.startswith(prefix) and all(is_segment(part) for part in key.split("/")):
                yield key

    def close(self) -> None:
        """Hang up; the next call opens it again."""
        self._link.close()

    def _put(self, key: str, data: bytes) -> bool:
        def put(session: StoreSession, unsure: bool) -> bool:
            written = session.ask({"do": "put", "key": key}, data).fields["written"]
            return bool(written or (unsure and _holds(session, key, data)))

        return self._again(put)

    def _read(self, key: str, at: int, end: int | None) -> Iterator[bytes]:
        trial, reading = self._trial(), _Reading(key, at, end)
        with self._told():
            while True:
                try:
                    data = reading.onward(self._link.session())
                except TargetError as error:
                    trial.failed(error)
                    reading.again()
                    continue
                if data is None:
                    return
                trial.went_on()
                if data:
                    yield data

    def _ask(self, do: str, body: bytes = b"", **given: Any) -> Answer:
        return self._again(lambda session, _: session.ask({"do": do, **given}, body))

    def _again(self, call: Callable[[StoreSession, bool], T]) -> T:
        with self._told():
            return asked(self._patience, self._link.judge, lambda unsure: call(self._link.session(), unsure))

    def _trial(self) -> Trial:
        return Trial(self._patience, self._link.judge)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TargetError as error:
            self._link.given_up = isinstance(error, Lost)
            raise RegistryError(error.what, cause=error.cause, fix=error.fix) from error


class _Link:
    """The session with a host, opened when one is needed and there is none."""

    def __init__(self, host: Host, root: str, url: str, python: str, private: str | None) -> None:
        self.host, self._root, self._url = host, root, url
        self._python, self._private = python, private
        self._session: StoreSession | None = None
        self._lock, self._met = threading.Lock(), False
        self.given_up = False

    def session(self) -> StoreSession:
        """Raises TargetError or RegistryError."""
        with self._lock:
            if self._session is None or self._session.over:
                if self._session is not None:
                    self._session.close()
                    self._hang_up(self._session.stalled)
                self._session = StoreSession(self.host, self._python, self._root, self._url, self._private)
                self._met, self.given_up = True, False
            return self._session

    def judge(self, error: Exception) -> Again | None:
        """Who was reached once may be reached again; who was asked for in vain is tried once each time."""
        return Again() if self._met and not self.given_up and isinstance(error, Lost) else None

    def _hang_up(self, stalled: bool) -> None:
        """A connection in which nothing moves would take the next session, too."""
        if stalled and (close := getattr(self.host, "close", None)):
            close()

    def close(self) -> None:
        if self._lock.acquire(timeout=_PATIENCE):
            session, self._session = self._session, None
            self._lock.release()
            if session is not None:
                session.close()


class _Reading:
    """The pieces of one value from `at` to `end`; its own end counts where it comes first, or for None."""

    def __init__(self, key: str, at: int, end: int | None) -> None:
        self._key, self._at, self._end = key, at, end
        self._value: str | None = None
        self._ahead: deque[tuple[int, Future[Answer]]] = deque()
        self._next = at  # where the first piece begins that was not asked for

    def onward(self, session: StoreSession) -> bytes | None:
        """The next piece (which may be empty), None at the end."""
        while len(self._ahead) < (AHEAD if self._value else 1) and self._more():
            length = PIECE if self._end is None else min(PIECE, self._end - self._next)
            asked = {"do": "read", "key": self._key, "start": self._next, "length": length, "of": self._value}
            self._ahead.append((length, session.send(asked)))
            self._next += length
        if not self._ahead:
            return None
        length, future = self._ahead.popleft()
        answer = future.result()
        size: int = answer.fields["size"]
        self._value = answer.fields["of"]
        self._end = end = size if self._end is None else min(size, self._end)
        data = answer.data
        if len(data) != max(0, min(length, end - self._at)):
            raise RegistryError(f"{self._key} came with other bytes than it has", fix="Repeat the command")
        self._at += len(data)
        return data

    def again(self) -> None:
        """Ask anew for what was asked for and did not come."""
        self._ahead.clear()
        self._next = self._at

    def _more(self) -> bool:
        return self._value is None or (self._end is not None and self._next < self._end)


def _stat(session: StoreSession, key: str) -> dict[str, Any]:
    return session.ask({"do": "stat", "key": key}).fields


def _holds(session: StoreSession, key: str, data: bytes) -> bool:
    return bool(_stat(session, key).get("version") == version_of(data))
