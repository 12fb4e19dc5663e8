"""The far end of a store on a host: answers frames on standard input with frames on standard output.

The first request is `open`. One that goes wrong is answered with its error, and the next one is taken; what
is no frame ends the session. When the input ends, what was being uploaded is left for a later writer.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

from mlship_runtime.errors import RuntimeFault, StoreFault
from mlship_runtime.pipes import widen
from mlship_runtime.store.folder import Folder
from mlship_runtime.store.frames import MAX_BODY, SIGN, Broken, Frames, packed
from mlship_runtime.store.upload import Upload

ALIVE = 5.0  # seconds between two frames that say that this end is there, however long a request takes

Done = tuple[dict[str, Any], Iterable[bytes]]  # evaluated at run time, also by Python 3.9


def main() -> int:
    """Answer until the input ends. Returns 0."""
    widen(0)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever prints does not get between the frames
    with contextlib.suppress(BrokenPipeError, Broken):  # nobody is there any more
        _serve(Frames(lambda room: os.readv(0, [room])), _Line(answers))
    return 0


class _Line:
    """What is written to the other end, one frame at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._lock = descriptor, threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]


def _serve(frames: Frames, line: _Line) -> None:
    line.write(SIGN)
    ended, session = threading.Event(), Session()

    def tick() -> None:
        with contextlib.suppress(OSError):
            while not ended.wait(ALIVE):
                line.write(packed({"id": 0}))

    threading.Thread(target=tick, daemon=True).start()
    try:
        while True:
            frame = frames.take()
            if frame is None:
                return
            for header, body in session.answer(*frame):
                line.write(packed(header, body))
    finally:
        ended.set()
        session.close()


class Session:
    """Answers the requests {id, do, …} of one other end, each with what it needs in bytes."""

    def __init__(self) -> None:
        self._opened: Folder | None = None
        self._uploads: dict[int, Upload] = {}
        self._verbs: dict[str, Callable[[dict[str, Any], memoryview], Done]] = {
            "open": self._open,
            "stat": self._stat,
            "get": self._get,
            "read": self._read,
            "put": self._put,
            "swap": self._swap,
            "delete": self._delete,
            "settle": self._settle,
            "list": self._list,
            "begin": self._begin,
            "piece": self._piece,
            "commit": self._commit,
            "leave": self._leave,
            "drop": self._drop,
        }

    def answer(self, header: dict[str, Any], body: memoryview) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Frames with `more` for the bytes of the answer, and one with `ok`."""
        number = header.get("id")
        try:
            verb = self._verbs.get(str(header.get("do")))
            if verb is None:
                raise StoreFault("the store knows no such request", fix="Use one mlship on both sides")
            fields, chunks = verb(header, body)
            for chunk in chunks:
                yield {"id": number, "more": True}, chunk
            yield {"id": number, "ok": True, **fields}, b""
        except RuntimeFault as fault:
            error = {"what": fault.what, "cause": fault.cause, "fix": fault.fix}
            yield {"id": number, "ok": False, "error": error}, b""

    def close(self) -> None:
        """Leave what came of unfinished values to a later session."""
        for upload in self._uploads.values():
            upload.close()

    @property
    def _folder(self) -> Folder:
        if self._opened is None:
            raise StoreFault("no store was opened")
        return self._opened

    def _open(self, given: dict[str, Any], _: memoryview) -> Done:
        root = os.path.expanduser(given["root"])
        if not root.startswith("/") or "\0" in root:
            raise StoreFault(f"{root[:100]!r} is not an absolute path")
        if given["root"].startswith("~"):
            os.umask(0o077)  # what lies in a home is that user's alone
        private = Path(given["private"]) if given.get("private") else None
        self._opened = Folder(Path(root), given["url"], private, on=f" on {given['host']}")
        return {}, ()

    def _stat(self, given: dict[str, Any], _: memoryview) -> Done:
        found = self._folder.stat(given["key"])
        return ({"size": found[0], "version": found[1]} if found else {}), ()

    def _get(self, given: dict[str, Any], _: memoryview) -> Done:
        found = self._folder.get(given["key"])
        return ({}, ()) if found is None else ({"version": found[1]}, _cut(found[0]))

    def _read(self, given: dict[str, Any], _: memoryview) -> Done:
        """A piece of a value; `of` is the value that it must be of, if an earlier piece was read."""
        folder, key = self._folder, given["key"]
        with folder.reading(), folder.opened(key) as file:
            if file is None:
                raise folder.has_no(key)
            found = os.fstat(file)
            value = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
            if given["of"] not in (None, value):
                raise StoreFault(
                    f"{key} in {folder.url} was changed while it was read", fix="Repeat the command"
                )
            data = os.pread(file, min(given["length"], MAX_BODY), given["start"])
            return {"of": value, "size": found.st_size}, (data,)

    def _put(self, given: dict[str, Any], body: memoryview) -> Done:
        return {"written": self._folder.write_if_absent(given["key"], [bytes(body)])}, ()

    def _swap(self, given: dict[str, Any], body: memoryview) -> Done:
        return {"version": self._folder.write_if_match(given["key"], bytes(body), given["version"])}, ()

    def _delete(self, given: dict[str, Any], _: memoryview) -> Done:
        return {"removed": self._folder.delete_if_match(given["key"], given["version"])}, ()

    def _settle(self, _: dict[str, Any], body: memoryview) -> Done:
        self._folder.settle(bytes(body).decode().split("\n"))
        return {}, ()

    def _list(self, given: dict[str, Any], _: memoryview) -> Done:
        return {}, _cut("\n".join(self._folder.list(given["prefix"])).encode())

    def _begin(self, given: dict[str, Any], _: memoryview) -> Done:
        """The number of an upload, and the sha256 of each piece that is here; none if the key is."""
        folder, key = self._folder, given["key"]
        with folder.writing():
            if folder.is_there(key):
                return {}, ()
        others = sum(upload.key == key for upload in self._uploads.values())
        upload = Upload(folder, key, others)
        number = max(self._uploads, default=0) + 1
        self._uploads[number] = upload
        return {"upload": number}, upload.there()

    def _piece(self, given: dict[str, Any], body: memoryview) -> Done:
        self._uploads[given["upload"]].put(given["at"], body)
        return {}, ()

    def _commit(self, given: dict[str, Any], _: memoryview) -> Done:
        return {"written": self._uploads.pop(given["upload"]).commit(given["size"])}, ()

    def _leave(self, given: dict[str, Any], _: memoryview) -> Done:
        self._uploads.pop(given["upload"]).close()
        return {}, ()

    def _drop(self, given: dict[str, Any], _: memoryview) -> Done:
        self._uploads.pop(given["upload"]).drop()
        return {}, ()


def _cut(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), MAX_BODY):
        yield data[start : start + MAX_BODY]
