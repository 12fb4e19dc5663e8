"""/zosmf/restfiles/ds: list, create, read, write, copy, rename, delete; /zosmf/restfiles/ams."""

from __future__ import annotations

import fnmatch
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlship_batch.emulator.catalog import VOLUME, BadFormat, Catalog, DataSet, NotThere, Refused, records_in
from mlship_batch.emulator.faults import Faults
from mlship_batch.emulator.formats import BLANK, Format
from mlship_batch.emulator.generations import Generations, Seen
from mlship_batch.emulator.in_use import InUse
from mlship_batch.emulator.programs.control_cards import BadCommand
from mlship_batch.emulator.programs.idcams import Idcams
from mlship_batch.emulator.space import TRACK, OutOfSpace, Space, asked
from mlship_batch.emulator.web.exchange import Answer, Problem, Request, as_json
from mlship_batch.emulator.web.transfer import etag_of, kind_of, records_of, sent
from mlship_batch.names import DataSetName, NotAName, read_data_set

ROOT = "/zosmf/restfiles/ds"
AMS = "/zosmf/restfiles/ams"
_USUAL_ITEMS = 1000


class RestDataSets:
    """Data sets over HTTP; who writes one takes it alone meanwhile."""

    def __init__(self, catalog: Catalog, generations: Generations, in_use: InUse, faults: Faults) -> None:
        self._catalog, self._generations, self._in_use, self._faults = catalog, generations, in_use, faults

    def answer(self, request: Request) -> Answer:
        """Raises Problem."""
        try:
            if request.path == AMS:
                return self._ams(request)
            path = re.sub(r"^/-\([^)]*\)", "", request.path.removeprefix(ROOT)).strip("/")
            if not path:
                return self._list(request)
            name, _, rest = path.partition("/")
            if rest == "member":
                return self._members(request, read_data_set(name.upper()))
            return self._one(request, self._named(name))
        except NotAName as wrong:
            raise Problem(400, 1, 4, 1, str(wrong)) from wrong
        except NotThere as missing:
            raise Problem(404, 4, 8, 0, "Data set not found.", [str(missing)]) from missing
        except (Refused, BadFormat, BadCommand) as refused:
            raise Problem(500, 8, 12, 38668, "Dynamic allocation Error", [str(refused)]) from refused

    def _named(self, text: str) -> DataSetName:
        name = read_data_set(text.upper())
        if name.relative is None:
            return name
        if name.relative > 0:
            raise Problem(400, 1, 4, 1, "A new generation is made by a job here, not over HTTP")
        return DataSetName(Seen(self._generations).resolve(name.dsn, name.relative))

    def _one(self, request: Request, name: DataSetName) -> Answer:
        verbs: dict[str, Callable[[Request, DataSetName], Answer]] = {
            "GET": self._read, "PUT": self._put, "POST": self._create, "DELETE": self._delete
        }  # fmt: skip
        verb = verbs.get(request.method)
        if verb is None:
            raise Problem(405, 1, 4, 2, f"{request.method} is not allowed here")
        return verb(request, name)

    def _list(self, request: Request) -> Answer:
        level = request.query.get("dslevel", "")
        if not level:
            raise Problem(400, 1, 4, 4, "dslevel is missing")
        after = request.query.get("start", "").upper()
        names = [dsn for dsn in self._catalog.names(level) if dsn >= after]
        basic = request.header("x-ibm-attributes", "dsname").split(",")[0] != "dsname"
        return _items(request, [self._item(dsn, basic=basic) for dsn in names])

    def _item(self, dsn: str, *, basic: bool) -> dict[str, Any]:
        found = self._catalog.find(dsn)
        if not basic:
            return {"dsname": dsn}
        if found is None:
            return {"dsname": dsn, "dsorg": "GDG", "vol": "??????"}
        shape, space = found.format, found.space
        return {
            "dsname": dsn, "dsorg": shape.dsorg, "recfm": shape.recfm, "lrecl": str(shape.lrecl),
            "blksz": str(shape.blksize), "vol": VOLUME, "vols": VOLUME, "cdate": found.created, "dev": "3390",
            "mvol": "N", "ovf": "NO", "migr": "NO", "catnm": "CATALOG.ML01", "spacu": "TRACKS",
            "sizex": str(space.primary // TRACK),
            "used": str(min(100, found.used() * 100 // max(1, space.most))),
        }  # fmt: skip

    def _members(self, request: Request, name: DataSetName) -> Answer:
        found = self._catalog.get(name.dsn)
        if found.format.dsorg != "PO":
            raise Problem(500, 4, 8, 0, "LMINIT error", [f"{name.dsn} is not partitioned"])
        pattern, after = request.query.get("pattern", "*").upper(), request.query.get("start", "").upper()
        names = [
            member for member in found.members() if fnmatch.fnmatchcase(member, pattern) and member >= after
        ]
        return _items(request, [{"member": member} for member in names])

    def _read(self, request: Request, name: DataSetName) -> Answer:
        (kind, page), found = kind_of(request), self._catalog.get(name.dsn)
        with self._taken(found.dsn, alone=False):
            path = found.path(name.member)
            if not path.exists():
                raise Problem(404, 4, 8, 0, "Member not found", [f"MEMBER {name.member} NOT FOUND"])
            etag = etag_of(path)
            if request.header("if-none-match") == etag:
                return Answer(304, b"", {"ETag": etag})
            binary = "application/octet-stream" if kind != "text" else "text/plain; charset=UTF-8"
            body = list(sent(records_in(found, name.member), kind, page))
        return Answer(200, body, {"Content-Type": binary, "ETag": etag})

    def _put(self, request: Request, name: DataSetName) -> Answer:
        if "json" in request.header("content-type"):
            return self._utility(request, name)
        kind_of(request)  # what cannot be written is refused before anything is emptied
        found = self._catalog.get(name.dsn)
        with self._taken(found.dsn, alone=True):
            path = found.path(name.member)
            new = not path.exists()
            expected = request.header("if-match").strip('"')
            if expected and (new or expected != etag_of(path)):
                raise Problem(412, 1, 4, 18, "The ETag given does not match that of the data set")
            self._write(request, found, name.member)
            return Answer(201 if new else 204, b"", {"ETag": etag_of(path)})

    def _write(self, request: Request, found: DataSet, member: str | None) -> None:
        """What was there goes before the first byte is looked at, as on the real one; a record that is too
        long is cut, those after it are written, and the failure is told at the end."""
        records, fill = records_of(request, found.format)
        writer = self._catalog.write(found, member)
        try:
            for record in records:
                writer.put(record, fill)
        except OutOfSpace as full:
            raise Problem(
                500, 6, 8, 520, "fwrite() error", ["EDC5001I The write ran out of space.", full.code]
            ) from full
        finally:
            writer.close()
        if writer.truncated:
            details = [
                "EDC5003I Truncation of a record occurred during an I/O operation.",
                "__amrc: __last_op=151 __code=0x00000000",
            ]
            raise Problem(500, 6, 8, 520, "fwrite() error", details)

    def _utility(self, request: Request, name: DataSetName) -> Answer:
        wanted = request.document()
        source = wanted.get("from-dataset") or {}
        old = DataSetName(
            str(source.get("dsn", "")).upper(),
            str(source["member"]).upper() if source.get("member") else None,
        )
        if wanted.get("request") == "rename":
            self._rename(old, name)
        elif wanted.get("request") == "copy":
            self._copy(old, name)
        else:
            raise Problem(400, 1, 4, 4, f"request {wanted.get('request')!r} is not supported here")
        return Answer(200)

    def _rename(self, old: DataSetName, new: DataSetName) -> None:
        with self._taken(old.dsn, alone=True):
            if old.member is None:
                self._catalog.rename(old.dsn, new.dsn)
                return
            found = self._catalog.get(old.dsn)
            if not found.path(old.member).exists() or found.path(new.member).exists():
                raise Problem(404, 4, 8, 0, "Member not found, or the new name is taken")
            found.path(old.member).rename(found.path(new.member))

    def _copy(self, old: DataSetName, new: DataSetName) -> None:
        source, target = self._catalog.get(old.dsn), self._catalog.get(new.dsn)
        with self._taken(target.dsn, alone=True):
            writer = self._catalog.write(target, new.member)
            try:
                for record in records_in(source, old.member):
                    writer.put(record, BLANK)
            finally:
                writer.close()

    def _create(self, request: Request, name: DataSetName) -> Answer:
        wanted = request.document()
        like = wanted.get("like")
        if like:
            model = self._catalog.get(str(like).upper())
            shape, space = model.format, model.space
        else:
            recfm, lrecl = str(wanted.get("recfm", "FB")).upper(), int(wanted.get("lrecl", 80))
            dsorg = str(wanted.get("dsorg", "PS")).upper()
            shape = Format(dsorg, recfm, lrecl, int(wanted.get("blksize", 0)))
            space = _space(wanted)
        self._catalog.create(name.dsn, shape, space)
        return Answer(201)

    def _delete(self, request: Request, name: DataSetName) -> Answer:
        with self._taken(name.dsn, alone=True):
            if name.member is None:
                self._catalog.get(name.dsn)
                self._catalog.delete(name.dsn)
                return Answer(204)
            path = self._catalog.get(name.dsn).path(name.member)
            if not path.exists():
                raise Problem(404, 4, 8, 0, "Member not found", [f"MEMBER {name.member} NOT FOUND"])
            path.unlink()
        return Answer(204)

    def _ams(self, request: Request) -> Answer:
        lines = [str(line) for line in request.document().get("input", [])]
        said: list[str] = []
        code = Idcams(self._catalog, self._generations, said.append, None).run(lines)
        if code >= 8:
            raise Problem(500, 16, code, 0, "Access Method Services failed", said)
        return as_json({"JSONversion": 1, "output": said})

    @contextmanager
    def _taken(self, dsn: str, *, alone: bool) -> Iterator[None]:
        user = f"request-{threading.get_ident()}"
        refused = self._faults.data_set("in use", dsn)
        if refused or not self._in_use.take(user, {dsn: alone}):
            users = ", ".join(self._in_use.users(dsn)) or "another user"
            raise Problem(
                500, 4, 8, 0, "LMINIT error", [f"ISRZ002 Data set in use - {dsn} is in use by {users}"]
            )
        try:
            yield
        finally:
            self._in_use.give_back(user)


def _items(request: Request, items: list[dict[str, Any]]) -> Answer:
    asked_for = request.header("x-ibm-max-items", str(_USUAL_ITEMS))
    most = int(asked_for) if asked_for.isdigit() else _USUAL_ITEMS
    shown = items[:most] if most else items
    value: dict[str, Any] = {"items": shown, "returnedRows": len(shown), "JSONversion": 1}
    if len(shown) < len(items):
        value["moreRows"] = True
    if request.header("x-ibm-attributes").endswith(",total"):
        value["totalRows"] = len(items)
    return as_json(value)


def _space(wanted: dict[str, Any]) -> Space:
    unit = str(wanted.get("alcunit", "TRK")).upper()
    try:
        return asked(unit, int(wanted.get("primary", 1)), int(wanted.get("secondary", 1)), block=27998)
    except ValueError as wrong:
        raise Refused(str(wrong)) from wrong
