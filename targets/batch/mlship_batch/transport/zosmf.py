"""z/OSMF as a way to the host: jobs by their correlators, data sets and files that are read back."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from mlship.errors import ConfigError, TargetError
from mlship_batch.names import NotAName, read_data_set
from mlship_batch.transport.protocol import Gone, Job, Seen, Status, StepSeen, Ticket, Unsure
from mlship_batch.transport.rest import Answered, Broken, Reply, Rest

JOBS, DATA_SETS, FILES = "/zosmf/restjobs/jobs", "/zosmf/restfiles/ds", "/zosmf/restfiles/fs"
_NO_JOB = (6, 4, 10)
_CHUNK = 1 << 18
Kind = Literal["binary", "record"]
_MOST = 1000  # jobs that are looked through


@dataclass(frozen=True)
class Attributes:
    """Of a data set to be made; the system chooses the block size."""

    recfm: str
    lrecl: int
    tracks: int
    dsorg: str = "PS"

    def document(self) -> dict[str, Any]:
        more = {"dirblk": 20} if self.dsorg == "PO" else {}
        return {
            "dsorg": self.dsorg, "recfm": self.recfm, "lrecl": self.lrecl, "alcunit": "TRK",
            "primary": self.tracks, "secondary": max(1, self.tracks // 2), **more,
        }  # fmt: skip


class Zosmf:
    """See Transport; besides, data sets and files of z/OS UNIX."""

    name = "z/OSMF"

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def send(self, job: Job) -> Ticket:
        headers = {
            "Content-Type": "text/plain; charset=UTF-8", "X-IBM-Intrdr-Mode": "TEXT",
            "X-IBM-Intrdr-Lrecl": "80", "X-IBM-Intrdr-Recfm": "F", "X-IBM-Intrdr-Class": "A",
        }  # fmt: skip
        if job.files:
            raise TargetError(
                "files do not travel with a job here", fix="Write them as data sets or files first"
            )
        try:
            reply = self._rest.ask("PUT", JOBS, job.text.encode("utf-8"), headers, repeatable=False)
        except Broken as broken:
            if broken.sent:
                raise Unsure(broken.what, cause=broken.cause) from broken
            raise
        except Answered as refused:
            if refused.status >= 500 and refused.status != 503:
                raise Unsure(refused.what, cause=refused.cause) from refused
            raise
        return _ticket(reply.json)

    def look_for(self, job: Job) -> Ticket | None:
        """By the correlator; where the host keeps none (JES3), by the name, and the token in the JCL."""
        for document in self._list(f"owner=*&user-correlator={job.token}"):
            if str(document.get("job-correlator", "")).endswith(":" + job.token):
                return _ticket(document)
        for document in self._list(f"prefix={quote(job.name)}"):
            if document.get("jobname") == job.name and self._has(_ticket(document), job.token):
                return _ticket(document)
        return None

    def seen(self, ticket: Ticket) -> Seen:
        document = self._of(ticket, "?step-data=Y").json
        if not isinstance(document, dict):
            raise TargetError("z/OSMF answers with no job", cause=str(document)[:200])
        steps = tuple(
            StepSeen(str(step.get("step-name", "")), step.get("completion"))
            for step in document.get("step-data") or ()
        )
        held = "held" in str(document.get("phase-name", "")).lower()
        said = document.get("status")
        status: Status = said if said in ("INPUT", "OUTPUT") else "ACTIVE"  # null: JES cannot tell now
        return Seen(status, document.get("retcode") if status == "OUTPUT" else None, steps, held)

    def spool(self, ticket: Ticket) -> Iterator[tuple[str, Iterator[bytes]]]:
        for file in self._of(ticket, "/files").json:
            name = f"{file.get('stepname') or 'JES2'}.{file.get('ddname')}"
            yield name, self._spool_file(ticket, file["id"])

    def cancel(self, ticket: Ticket) -> None:
        try:
            self._rest.document("PUT", _place(ticket), {"request": "cancel", "version": "2.0"})
        except Answered as refused:
            raise _gone(refused, ticket) from refused

    def purge(self, ticket: Ticket) -> None:
        """Remove the job and what it wrote. Raises Gone."""
        try:
            self._rest.ask("DELETE", _place(ticket), headers={"X-IBM-Job-Modify-Version": "2.0"})
        except Answered as refused:
            raise _gone(refused, ticket) from refused

    def create(self, dsn: str, attributes: Attributes) -> None:
        """A new data set. Raises TargetError, also if there is one."""
        self._rest.document("POST", _data_set(dsn), attributes.document(), repeatable=False)

    def put(self, dsn: str, source: Path, *, kind: Kind = "binary", etag: str | None = None) -> str:
        """Write records over what was there, and read them back: what a broken connection or a record that is
        too long leaves is no success. `kind` record has four bytes of length before each. Returns the ETag;
        with `etag` given it must still be the one. Raises TargetError."""
        headers = {"X-IBM-Data-Type": kind, "X-IBM-Return-Etag": "true"}
        condition = {"If-Match": etag} if etag else {}
        self._rest.ask("PUT", _data_set(dsn), source, {**headers, **condition}, repeatable=not etag)
        with tempfile.TemporaryDirectory() as folder:
            back = Path(folder, "back")
            found = self.get(dsn, back, kind=kind)
            if _digest(back) != _digest(source):
                raise TargetError(
                    f"{dsn} does not have the bytes that were sent",
                    cause=f"{back.stat().st_size} of {source.stat().st_size} bytes came back, or they differ",
                    fix="Compare its record length with the file; send it again",
                )
        return found

    def get(self, dsn: str, target: Path, *, kind: Kind = "binary") -> str:
        """The records of a data set, in the form that `put` takes; the ETag. Raises TargetError."""
        headers = {"X-IBM-Data-Type": kind, "X-IBM-Return-Etag": "true"}
        return self._rest.ask("GET", _data_set(dsn), headers=headers, into=target).headers.get("etag", "")

    def delete(self, dsn: str) -> None:
        """Nothing there is fine."""
        try:
            self._rest.ask("DELETE", _data_set(dsn))
        except Answered as refused:
            if refused.status != 404:
                raise

    def names(self, level: str) -> list[str]:
        """Data sets whose names match, * for a qualifier and ** for several."""
        headers = {"X-IBM-Max-Items": "0"}
        reply = self._rest.ask("GET", f"{DATA_SETS}?dslevel={quote(level)}", headers=headers)
        return [str(item["dsname"]) for item in reply.json["items"]]

    def _list(self, query: str) -> list[dict[str, Any]]:
        documents = self._rest.ask("GET", f"{JOBS}?{query}&max-jobs={_MOST}").json
        if not isinstance(documents, list) or not all(isinstance(each, dict) for each in documents):
            raise TargetError("z/OSMF answers with no list of jobs", cause=str(documents)[:200])
        return documents

    def _has(self, ticket: Ticket, token: str) -> bool:
        try:
            return token.encode() in self._of(ticket, "/files/JCL/records").body
        except Gone:
            return False

    def _of(self, ticket: Ticket, rest: str) -> Reply:
        try:
            return self._rest.ask("GET", _place(ticket) + rest)
        except Answered as refused:
            raise _gone(refused, ticket) from refused

    def _spool_file(self, ticket: Ticket, number: int) -> Iterator[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "spool")
            try:
                self._rest.ask("GET", f"{_place(ticket)}/files/{number}/records", into=path)
            except Answered as refused:
                raise _gone(refused, ticket) from refused
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk


def _ticket(document: Any) -> Ticket:
    if not isinstance(document, dict) or not document.get("jobname") or not document.get("jobid"):
        raise TargetError("z/OSMF tells of a job without name or number", cause=str(document)[:200])
    return Ticket(document["jobname"], document["jobid"], document.get("job-correlator") or "")


def _place(ticket: Ticket) -> str:
    if ticket.correlator:
        return f"{JOBS}/{quote(ticket.correlator, safe='')}"
    return f"{JOBS}/{quote(ticket.name)}/{ticket.number}"


def _gone(refused: Answered, ticket: Ticket) -> TargetError:
    if (refused.category, refused.rc, refused.reason) == _NO_JOB or refused.status == 404:
        what = f"the host does not have job {ticket.name} ({ticket.number}) any more"
        return Gone(what, cause=refused.cause, fix="It was purged; whether it did its work is not known")
    return refused


def _data_set(name: str) -> str:
    """Its path. Raises ConfigError for a name that is none."""
    try:
        read_data_set(name)
    except NotAName as wrong:
        raise ConfigError(str(wrong), fix="Up to eight of A-Z 0-9 @ # $ - between dots, 44 in all") from wrong
    return f"{DATA_SETS}/{quote(name)}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
