"""/zosmf/restfiles/fs: files and folders of z/OS UNIX, which are those below the emulator's own folder."""

from __future__ import annotations

import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlship_batch.emulator.web.exchange import Answer, Problem, Request, as_json
from mlship_batch.emulator.web.transfer import etag_of, kind_of

ROOT = "/zosmf/restfiles/fs"


class RestFiles:
    """Paths are absolute and lie below `home`; shell commands of jobs find the files under the same names."""

    def __init__(self, home: Path) -> None:
        self._home, self._lock = home, threading.Lock()

    def answer(self, request: Request) -> Answer:
        """Raises Problem."""
        text = request.path.removeprefix(ROOT)
        try:
            if not text.strip("/"):
                return self._list(request, self._place(request.query.get("path", "")))
            place = self._place(text)
            with self._lock:
                return self._one(request, place)
        except FileExistsError as there:
            raise Problem(
                500, 1, 4, 19, "The specified file already exists", [str(there.filename)]
            ) from there
        except FileNotFoundError as missing:
            raise Problem(
                404,
                1,
                8,
                93651005,
                f"Path name not found: {missing.filename}",
                ["EDC5129I No such file or directory."],
            ) from missing
        except OSError as error:
            raise Problem(
                500, 6, 8, error.errno or 0, "fwrite() error", [os.strerror(error.errno or 0)]
            ) from error

    def _place(self, text: str) -> Path:
        place = Path(os.path.normpath("/" + text.lstrip("/")))
        if place != self._home and self._home not in place.parents:
            raise Problem(403, 6, 8, 111, f"EDC5111I Permission denied: {place} is not below {self._home}")
        return place

    def _one(self, request: Request, place: Path) -> Answer:
        verb = {"GET": self._read, "PUT": self._put, "POST": self._create, "DELETE": self._delete}.get(
            request.method
        )
        if verb is None:
            raise Problem(405, 1, 4, 2, f"{request.method} is not allowed here")
        return verb(request, place)

    def _list(self, request: Request, place: Path) -> Answer:
        if not place.is_dir():
            names = [place]
            place.stat()
        else:
            names = [place, place.parent, *sorted(place.iterdir())]
        dots = {0: ".", 1: ".."} if place.is_dir() else {}
        items = [_about(path, dots.get(at, path.name)) for at, path in enumerate(names)]
        asked = request.header("x-ibm-max-items", "1000")
        most = int(asked) if asked.isdigit() else 1000
        shown = items[:most] if most else items
        return as_json(
            {"items": shown, "returnedRows": len(shown), "totalRows": len(items), "JSONversion": 1}
        )

    def _read(self, request: Request, place: Path) -> Answer:
        if place.is_dir():
            raise Problem(400, 1, 4, 2, f"{place} is a directory")
        etag = etag_of(place)
        if request.header("if-none-match") == etag:
            return Answer(304, b"", {"ETag": etag})
        kind = "application/octet-stream" if kind_of(request)[0] == "binary" else "text/plain; charset=UTF-8"
        return Answer(200, place.read_bytes(), {"Content-Type": kind, "ETag": etag})

    def _put(self, request: Request, place: Path) -> Answer:
        if "json" in request.header("content-type"):
            return self._utility(request, place)
        new = not place.exists()
        expected = request.header("if-match").strip('"')
        if expected and (new or expected != etag_of(place)):
            raise Problem(412, 1, 4, 18, "The ETag given does not match that of the file")
        with place.open("wb") as file:
            for chunk in request.chunks():
                file.write(chunk)
        return Answer(201 if new else 204, b"", {"ETag": etag_of(place)})

    def _utility(self, request: Request, place: Path) -> Answer:
        wanted = request.document()
        kind = wanted.get("request")
        if kind == "chtag":
            place.stat()
            listed = [f"- untagged    T=off {place}"] if wanted.get("action") == "list" else []
            return as_json({"stdout": listed})
        if kind == "chmod":
            place.chmod(int(str(wanted.get("mode", "")), 8))
        elif kind in ("move", "copy"):
            source = self._place(str(wanted.get("from", "")))
            if place.exists() and not wanted.get("overwrite", True):
                raise FileExistsError(17, "exists", str(place))
            if kind == "move":
                source.replace(place)
            else:
                shutil.copyfile(source, place)
        else:
            raise Problem(400, 1, 4, 4, f"request {kind!r} is not supported here")
        return Answer(200)

    def _create(self, request: Request, place: Path) -> Answer:
        wanted = request.document()
        if wanted.get("type") in ("directory", "dir"):
            place.mkdir()
        elif wanted.get("type") == "file":
            place.touch(exist_ok=False)
        else:
            raise Problem(400, 1, 4, 4, "type is neither file nor directory")
        if mode := str(wanted.get("mode", "")):
            place.chmod(_mode(mode))
        return Answer(201)

    def _delete(self, request: Request, place: Path) -> Answer:
        if not place.is_dir():
            place.unlink()
        elif request.header("x-ibm-option") == "recursive":
            shutil.rmtree(place)
        else:
            place.rmdir()
        return Answer(204)


def _mode(text: str) -> int:
    """rwxr-xr-x as a number."""
    if len(text) != 9 or any(
        letter not in (usual, "-") for letter, usual in zip(text, "rwx" * 3, strict=True)
    ):
        raise Problem(400, 1, 4, 4, f"mode {text} is none")
    return int("".join("0" if letter == "-" else "1" for letter in text), 2)


def _about(path: Path, name: str) -> dict[str, Any]:
    seen = path.stat()
    letters = "".join(
        letter if seen.st_mode >> at & 1 else "-"
        for at, letter in zip(range(8, -1, -1), "rwx" * 3, strict=True)
    )
    changed = datetime.fromtimestamp(seen.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {
        "name": name, "mode": ("d" if path.is_dir() else "-") + letters, "size": seen.st_size,
        "uid": seen.st_uid, "user": "USER", "gid": seen.st_gid, "group": "GROUP", "mtime": changed,
    }  # fmt: skip
