"""Who scores the chunks: this process, or several worker processes. The results come in the chunks' order."""

from __future__ import annotations

import contextlib
import fcntl
import queue
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, Callable, Protocol

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.scoring import frames
from mlship_runtime.scoring.rows import Scored
from mlship_runtime.scoring.source import Chunk
from mlship_runtime.supervision.control import fault_data, fault_of

Result = tuple[Chunk, Scored]
_PIPE = 1 << 19  # bytes
_AHEAD = 2  # chunks under way for each worker


class Scorers(Protocol):
    """Made before anything is written: that a model does not load is known by then."""

    def score(self, chunks: Iterable[Chunk]) -> Iterator[Result]: ...

    def close(self) -> None: ...


class Alone:
    """This process scores each chunk when it is asked for."""

    def __init__(self, scorer: Callable[[bytes, int], Scored]) -> None:
        self._scorer = scorer

    def score(self, chunks: Iterable[Chunk]) -> Iterator[Result]:
        for chunk in chunks:
            yield chunk, self._scorer(chunk.data, chunk.first_line)

    def close(self) -> None:
        """Nothing to be ended."""


class Pool:
    """`count` processes of `command`, each told the columns of the input; a thread for each passes chunks to
    it. Raises what a worker says of its start, and SiteError for one that ends by itself."""

    def __init__(self, command: Sequence[str], count: int, header: Sequence[str]) -> None:
        self._threads = ThreadPoolExecutor(count)
        self._all: list[subprocess.Popen[bytes]] = []
        self._free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self._count = count
        try:
            for _ in range(count):
                self._all.append(
                    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
                )
            for worker in self._all:
                _widen(worker)
            for worker in self._all:  # all of them load at the same time
                _tell(worker, {"header": list(header)})
            for worker in self._all:
                _hear(worker)
                self._free.put(worker)
        except BaseException:
            self.close()
            raise

    def score(self, chunks: Iterable[Chunk]) -> Iterator[Result]:
        waiting: deque[tuple[Chunk, Future[Scored]]] = deque()
        for chunk in chunks:
            waiting.append((chunk, self._threads.submit(self._one, chunk)))
            if len(waiting) > _AHEAD * self._count:
                first, result = waiting.popleft()
                yield first, result.result()
        while waiting:
            first, result = waiting.popleft()
            yield first, result.result()

    def close(self) -> None:
        """End the workers, whatever they are at."""
        for worker in self._all:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                if stream is not None:
                    _shut(stream)

    def _one(self, chunk: Chunk) -> Scored:
        worker = self._free.get()
        try:
            _tell(worker, {"line": chunk.first_line}, chunk.data)
            message, data = _hear(worker)
        finally:
            self._free.put(worker)  # a dead one, too: another thread may wait for it
        return frames.understood(message, data)


def attend(
    chunks: IO[bytes],
    answers: IO[bytes],
    scorer_of: Callable[[Sequence[str]], Callable[[bytes, int], Scored]],
) -> int:
    """What a worker process does until its run has no more chunks: the scorer is made when it is told the
    input's columns. A fault is told, and ends it; returns the exit code."""
    first = frames.receive(chunks)
    if first is None:
        return 0
    try:
        scorer = scorer_of(first[0]["header"])
        frames.send(answers, {"ready": True})
        while (asked := frames.receive(chunks)) is not None:
            scored = scorer(asked[1], asked[0]["line"])
            frames.send(answers, frames.told(scored), scored.data)
    except BrokenPipeError:
        return 1  # the run has gone
    except RuntimeFault as fault:
        frames.send(answers, {"error": fault_data(fault)})
        return fault.exit_code
    return 0


def _widen(worker: subprocess.Popen[bytes]) -> None:
    """Let a whole chunk into each pipe, where the system can (Linux, Python 3.10): fewer turns to take."""
    command = getattr(fcntl, "F_SETPIPE_SZ", None)
    for stream in (worker.stdin, worker.stdout):
        if command is not None and stream is not None:
            with contextlib.suppress(OSError):  # a user's limit of pipes
                fcntl.fcntl(stream, command, _PIPE)


def _tell(worker: subprocess.Popen[bytes], message: dict[str, Any], data: bytes = b"") -> None:
    assert worker.stdin is not None  # noqa: S101 - it is a pipe
    try:
        frames.send(worker.stdin, message, data)
    except OSError:
        return  # it has gone, which is noticed when it does not answer


def _hear(worker: subprocess.Popen[bytes]) -> tuple[dict[str, Any], bytes]:
    """What the worker answers; raises the fault that it tells, or SiteError if it has ended."""
    assert worker.stdout is not None  # noqa: S101 - it is a pipe
    answer = frames.receive(worker.stdout)
    if answer is None:
        code = worker.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise SiteError("a worker process ended", cause=f"{how}; of 9, too little memory may be the cause")
    if "error" in answer[0]:
        raise fault_of(answer[0]["error"])
    return answer


def _shut(stream: Any) -> None:
    try:
        stream.close()
    except OSError:
        return  # what was still to be written has nobody to read it
