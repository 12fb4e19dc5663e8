"""The near end of a store on a host: many requests at a time over one process there, each with its answer.

The process runs from memory what it is sent, so nothing is left on a host where one only reads. A request
that went wrong is told apart from a connection that broke: RegistryError, and Lost, after which what was
asked for last may have been done or not.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from mlship.errors import RegistryError
from mlship.host import ground_floor
from mlship.host.drained import Drained
from mlship.host.protocol import Host, Lost, Process
from mlship_runtime.store.frames import Broken, Frames, head_of

STALL = 60.0  # seconds without a sign of life, which comes every 5 s, after which nobody is there
_BEGIN = 60.0  # seconds until the other end speaks
_TOLD = 5.0  # seconds in which the end of a program that takes no more is seen
_MOST = 256 << 20  # bytes that one answer may have


@dataclass(frozen=True)
class Answer:
    """What came to one request: its fields, and its bytes as they came."""

    fields: dict[str, Any]
    chunks: list[bytes]

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class _Asked:
    future: Future[Answer] = field(default_factory=Future)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


class StoreSession:
    """A running session with the store in the folder `root` of `host`, which messages call `url`; `private`:
    see HostStore.

    Not tied to a thread. Raises TargetError if the host cannot be reached, RegistryError if the far end does
    not start, Lost if the connection breaks right then.
    """

    def __init__(self, host: Host, python: str, root: str, url: str, private: str | None = None) -> None:
        self._name = host.name
        self._process = _started(host, python)
        self._frames = Frames(self._into)
        self._said = Drained(self._process.read_error)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._asked: dict[int, _Asked] = {}
        self._waiting: SimpleQueue[bytes] = SimpleQueue()
        self._number, self._heard = 0, time.monotonic()
        self._reason: Exception | None = None
        self.stalled = False
        try:
            self._meet(python)
            for work in (self._listen, self._speak, self._watch):
                threading.Thread(target=work, daemon=True, name="mlship-store").start()
            self.ask({"do": "open", "root": root, "url": url, "host": host.name, "private": private})
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any], body: bytes = b"") -> Answer:
        """The answer to one request. Raises RegistryError with what the far end says, or Lost."""
        return self.send(request, body).result()

    def send(self, request: dict[str, Any], body: bytes = b"") -> Future[Answer]:
        """Ask, and come for the answer later. Raises Lost, or why the far end broke before."""
        with self._lock:
            if self._ended.is_set():
                raise self._reason or self._lost()
            self._number += 1
            asked = self._asked[self._number] = _Asked()
            for data in filter(None, (head_of({"id": self._number, **request}, body), body)):
                self._waiting.put(data)
        return asked.future

    @property
    def over(self) -> bool:
        """Whether it broke, or was closed."""
        return self._ended.is_set()

    def close(self) -> None:
        """Hang up: what waits for an answer gets Lost."""
        self._end()
        with contextlib.suppress(OSError):
            self._process.close()

    def _speak(self) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError):
            while data := self._waiting.get():
                self._process.write(data)
        self._ended.wait(_TOLD)  # who listens knows better why
        self._end()

    def _listen(self) -> None:
        why: Exception | None = None
        with contextlib.suppress(OSError, EOFError, ValueError, Broken):
            while frame := self._frames.take():
                self._heard = time.monotonic()
                self._take(*frame)
            why = self._why()
        self._end(why)

    def _why(self) -> Exception:
        """What those are told who still wait: a program that broke is no connection that did."""
        if self.over:
            return self._lost()
        with contextlib.suppress(OSError, EOFError, ValueError):
            if code := self._process.wait():
                cause = self._last_words() or f"it ended with {code}"
                return RegistryError(f"the store on {self._name} cannot go on", cause=cause)
        return self._lost()

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            if time.monotonic() - self._heard > STALL:
                self.stalled = True
                self.close()

    def _into(self, room: memoryview) -> int:
        data = self._process.read(len(room))
        room[: len(data)] = data
        return len(data)

    def _take(self, header: dict[str, Any], body: memoryview) -> None:
        number, more = header.get("id"), header.get("more")
        if not isinstance(number, int):
            raise Broken("an answer has no number")
        with self._lock:
            asked = self._asked.get(number) if more else self._asked.pop(number, None)
        if asked is None:  # a sign of life
            return
        if more:
            asked.chunks.append(bytes(body))
            asked.size += len(body)
            if asked.size > _MOST:
                raise Broken("an answer has no end")
        elif header.get("ok"):
            asked.future.set_result(Answer(header, asked.chunks))
        else:
            asked.future.set_exception(_refused(header.get("error")))

    def _last_words(self) -> str:
        self._said.ended(5.0)
        return self._said.last_line

    def _lost(self) -> Lost:
        return Lost(
            f"the connection to {self._name} broke",
            cause="it, its sshd or the network went away",
            fix="Run the same command again: what was sent stays",
        )

    def _end(self, why: Exception | None = None) -> None:
        with self._lock:
            if not self._ended.is_set():
                self._reason = why
            self._ended.set()
            waiting = list(self._asked.values())
            self._asked.clear()
        self._waiting.put(b"")
        for asked in waiting:
            asked.future.set_exception(why or self._lost())

    def _meet(self, python: str) -> None:
        """Wait for its first words; if it has none, say why."""
        met = threading.Event()
        late = threading.Timer(_BEGIN, self._process.close)
        late.start()
        try:
            with contextlib.suppress(OSError, EOFError, ValueError):
                if self._frames.skip_to_sign() is not None:
                    met.set()
        finally:
            late.cancel()
        if not met.is_set():
            code = self._process.wait()
            if code is None:
                raise self._lost()
            cause = self._last_words() or "it ended without a word"
            fix = f"Look at {python} there, 3.9 or newer"
            raise RegistryError(f"no store can be opened on {self._name}", cause=cause, fix=fix)


def _started(host: Host, python: str) -> Process:
    """The far end, on its way: with the ground floor that is there, or else with what it needs of ours."""
    words = [python, "-I", "-S", "-B", "-u"]
    if host.ground_floor:
        return host.start([*words, host.ground_floor, "store"])
    process = host.start([*words, "-c", ground_floor.IN_MEMORY, "store"])
    with contextlib.suppress(OSError, EOFError):  # its first words, or their lack, tell
        process.write(ground_floor.archive("store"))
    return process


def _refused(error: Any) -> RegistryError:
    said = error if isinstance(error, dict) else {}
    what, cause, fix = (str(said.get(name, "")) for name in ("what", "cause", "fix"))
    return RegistryError(what, cause=cause, fix=fix)
