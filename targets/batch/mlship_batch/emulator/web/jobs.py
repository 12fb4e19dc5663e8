"""/zosmf/restjobs/jobs: submit, ask, read the spool, cancel, hold, release, purge."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import Any

from mlship_batch.emulator.catalog import Catalog, Refused, records_in
from mlship_batch.emulator.charset import from_ebcdic
from mlship_batch.emulator.run.jes import Jes, Rejected
from mlship_batch.emulator.run.record import SYSTEM, JobRecord, SpoolFile
from mlship_batch.emulator.web.exchange import Answer, Problem, Request, as_json, as_text
from mlship_batch.names import NotAName, read_data_set

ROOT = "/zosmf/restjobs/jobs"
_SERVICE = 6
_LONGEST = 80
_PHASES = {
    "INPUT": (128, "Job is queued for execution"),
    "ACTIVE": (20, "Job is actively executing"),
    "OUTPUT": (192, "Job is on the hard copy queue"),
}


class RestJobs:
    """`url` is that of the server."""

    def __init__(self, jes: Jes, catalog: Catalog, url: str) -> None:
        self._jes, self._catalog, self._url = jes, catalog, url

    def answer(self, request: Request) -> Answer:
        """Raises Problem."""
        parts = [part for part in request.path.removeprefix(ROOT).split("/") if part]
        if request.method == "PUT" and (not parts or parts[0].startswith("-")):
            return self._submit(request)
        if request.method == "GET" and not parts:
            return self._list(request)
        record, rest = self._found(parts)
        verb = {"GET": self._get, "PUT": self._modify, "DELETE": self._purge}.get(request.method)
        if verb is None:
            raise Problem(405, _SERVICE, 4, 1, f"{request.method} is not allowed here")
        return verb(request, record, rest)

    def _found(self, parts: list[str]) -> tuple[JobRecord, list[str]]:
        if len(parts) > 1 and re.fullmatch(r"(JOB|J0|STC|TSU)\d+", parts[1]):
            record, rest, name = self._jes.jobs.find(parts[0], parts[1]), parts[2:], f"{parts[0]}({parts[1]})"
        else:
            record, rest, name = self._jes.jobs.by_correlator(parts[0]), parts[1:], parts[0]
        if record is None:
            raise Problem(400, _SERVICE, 4, 10, f"No job found for reference: '{name}'")
        return record, rest

    def _submit(self, request: Request) -> Answer:
        if not request.whole:
            raise Problem(400, _SERVICE, 4, 7, "The request ended before its body did")
        jcl = self._jcl(request)
        if any(len(line) > _LONGEST for line in jcl.splitlines()):
            raise Problem(400, _SERVICE, 8, 11, "Submit input data contains a record longer than 80")
        prefix = "x-ibm-jcl-symbol-"
        symbols = {
            name[len(prefix) :].upper(): value
            for name, value in request.headers.items()
            if name.startswith(prefix)
        }
        try:
            record = self._jes.submit(jcl, request.user, symbols)
        except Rejected as rejected:
            raise Problem(400, _SERVICE, 8, 12, str(rejected)) from rejected
        return as_json(self._document(record), 201)

    def _jcl(self, request: Request) -> str:
        if "json" not in request.header("content-type"):
            text = b"".join(request.chunks())
            mode = request.header("x-ibm-intrdr-mode", "TEXT").upper()
            if mode not in ("TEXT", "RECORD", "BINARY"):
                raise Problem(400, _SERVICE, 4, 5, f"X-IBM-Intrdr-Mode {mode} is none")
            if mode == "TEXT":
                return text.decode("utf-8", "replace")
            whole = from_ebcdic(text)
            return "\n".join(whole[at : at + _LONGEST] for at in range(0, len(whole), _LONGEST))
        file = str(request.document().get("file", ""))
        name = file.removeprefix("//").strip("'")
        try:
            wanted = read_data_set(name.upper())
            records = records_in(self._catalog.get(wanted.dsn), wanted.member)
            return "\n".join(from_ebcdic(record).rstrip() for record in records)
        except (NotAName, Refused) as missing:
            raise Problem(400, _SERVICE, 8, 3, f"Data set not found: {file}", [str(missing)]) from missing

    def _list(self, request: Request) -> Answer:
        query = request.query
        owner, prefix = query.get("owner", request.user).upper(), query.get("prefix", "*").upper()
        correlator = query.get("user-correlator")
        jobid, status = query.get("jobid"), query.get("status", "*").upper()
        found = [
            self._document(record)
            for record in self._jes.jobs.all()
            if fnmatch.fnmatchcase(record.owner, owner)
            and fnmatch.fnmatchcase(record.jobname, prefix)
            and jobid in (None, record.jobid)
            and correlator in (None, record.correlator.partition(":")[2])
            and status in ("*", record.status)
        ]
        return as_json(found[: int(query.get("max-jobs", "1000"))])

    def _get(self, request: Request, record: JobRecord, rest: list[str]) -> Answer:
        if not rest:
            return as_json(self._document(record, steps=request.query.get("step-data", "N").upper() == "Y"))
        if rest == ["files"]:
            return as_json([self._file(record, file) for file in record.files])
        if len(rest) == 3 and rest[0] == "files" and rest[2] == "records":
            if rest[1] == "JCL":
                return as_text([record.jcl().encode("utf-8")])
            for file in record.files:
                if str(file.id) == rest[1]:
                    return as_text(_spool(record, file, request))
            raise Problem(
                400,
                _SERVICE,
                4,
                12,
                f"Job '{record.jobname}({record.jobid})' does not contain spool file id {rest[1]}",
            )
        raise Problem(404, _SERVICE, 4, 1, "There is nothing at this URL")

    def _modify(self, request: Request, record: JobRecord, rest: list[str]) -> Answer:
        wanted = request.document()
        verb = {"cancel": self._jes.cancel, "hold": self._jes.hold, "release": self._jes.release}.get(
            wanted.get("request", "")
        )
        if verb is None:
            raise Problem(400, _SERVICE, 4, 4, f"request {wanted.get('request')!r} is not supported")
        verb(record)
        return self._feedback(record, wanted.get("version", "1.0"))

    def _purge(self, request: Request, record: JobRecord, rest: list[str]) -> Answer:
        self._jes.purge(record)
        return self._feedback(record, request.header("x-ibm-job-modify-version", "1.0"))

    def _feedback(self, record: JobRecord, version: str) -> Answer:
        value = {
            "jobid": record.jobid, "jobname": record.jobname, "owner": record.owner, "member": "JES2",
            "sysname": "ML01", "job-correlator": record.correlator, "original-jobid": record.jobid,
            "status": "0", "internal-code": "0", "message": "Request was successful.",
        }  # fmt: skip
        return as_json(value, 200 if version == "2.0" else 202)

    def _document(self, record: JobRecord, *, steps: bool = False) -> dict[str, Any]:
        place = f"{self._url}{ROOT}/{record.correlator.replace(':', '%3A')}"
        phase, words = _PHASES[record.status]
        value: dict[str, Any] = {
            "jobid": record.jobid, "jobname": record.jobname, "subsystem": "JES2", "owner": record.owner,
            "status": record.status, "type": "JOB", "class": record.job_class, "retcode": record.retcode,
            "url": place, "files-url": f"{place}/files", "job-correlator": record.correlator,
            "phase": 130 if record.held else phase,
            "phase-name": "Job is queued for execution, held" if record.held else words,
        }  # fmt: skip
        if steps:
            value["step-data"] = [
                {
                    "smfid": "ML01", "step-number": step.number, "step-name": step.name,
                    "active": step.active, "program-name": step.program, "proc-step-name": "",
                    "completion": step.completion or None,
                }
                for step in record.steps
            ]  # fmt: skip
        return value

    def _file(self, record: JobRecord, file: SpoolFile) -> dict[str, Any]:
        data = record.path(file).read_bytes()
        place = f"{self._url}{ROOT}/{record.jobname}/{record.jobid}/files/{file.id}/records"
        return {
            "jobname": record.jobname, "jobid": record.jobid, "job-correlator": record.correlator,
            "subsystem": "JES2", "class": "H", "id": file.id, "ddname": file.ddname,
            "stepname": "JES2" if file.id < SYSTEM else file.stepname, "procstep": None, "recfm": "VBA",
            "lrecl": file.lrecl, "byte-count": len(data), "record-count": data.count(b"\n"),
            "records-url": place,
        }  # fmt: skip


def _spool(record: JobRecord, file: SpoolFile, request: Request) -> Iterator[bytes]:
    """The lines of a spool file, or those that X-IBM-Record-Range asks for."""
    lines = record.path(file).read_bytes().splitlines(keepends=True)
    found = re.fullmatch(r"(\d+)-(\d+)", request.header("x-ibm-record-range"))
    yield from lines[int(found[1]) : int(found[2]) + 1] if found else lines
