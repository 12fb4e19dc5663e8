"""What is kept of a job, in a folder of its own: its document, its JCL and its spool files."""

from __future__ import annotations

import secrets
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlship_runtime.files import read_json, remove, write_atomic, write_json

_JOB, _JCL, _NUMBER = "job.json", "jcl", "next.json"
HIGHEST = 99999  # then job numbers begin again
SYSTEM = 100  # spool files below are the system's
_SYSTEM_FILES = {"JESMSGLG": 2, "JESJCL": 3, "JESYSMSG": 4}


@dataclass
class SpoolFile:
    """`id` is its number in the job."""

    id: int
    ddname: str
    stepname: str = ""
    lrecl: int = 133


@dataclass
class StepRecord:
    """`completion` as the system says it: CC nnnn, ABEND Sxxx, FLUSH."""

    number: int
    name: str
    program: str
    completion: str = ""
    active: bool = False


@dataclass
class JobRecord:
    """`status` is INPUT, ACTIVE or OUTPUT; `retcode` is None until OUTPUT."""

    folder: Path
    jobid: str
    jobname: str
    owner: str
    correlator: str
    job_class: str = "A"
    status: str = "INPUT"
    held: bool = False
    retcode: str | None = None
    files: list[SpoolFile] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    symbols: dict[str, str] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)
    purged: bool = False

    def save(self) -> None:
        value = {
            "jobid": self.jobid, "jobname": self.jobname, "owner": self.owner, "correlator": self.correlator,
            "job_class": self.job_class, "status": self.status, "held": self.held, "retcode": self.retcode,
            "files": [asdict(file) for file in self.files], "steps": [asdict(step) for step in self.steps],
            "symbols": self.symbols,
        }  # fmt: skip
        if not self.purged:
            write_json(self.folder / _JOB, value)

    def jcl(self) -> str:
        return (self.folder / _JCL).read_text(encoding="utf-8")

    def spool(self, ddname: str, stepname: str = "", lrecl: int = 133) -> Path:
        """The file of a DD, made on first use."""
        for file in self.files:
            if (file.ddname, file.stepname) == (ddname, stepname):
                return self.path(file)
        number = _SYSTEM_FILES[ddname] if not stepname else SYSTEM + len(self.files)
        made = SpoolFile(number, ddname, stepname, lrecl)
        self.files.append(made)
        self.path(made).touch()
        self.save()
        return self.path(made)

    def path(self, file: SpoolFile) -> Path:
        return self.folder / f"spool-{file.id}"

    def note(self, ddname: str, text: str) -> None:
        """A line in one of the system's files."""
        with self.spool(ddname).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


class Jobs:
    """All that were not purged. Those that ran when the system went down ended with SYS FAIL."""

    def __init__(self, root: Path) -> None:
        self._root, self.lock = root, threading.RLock()
        root.mkdir(parents=True, exist_ok=True)
        folders = sorted(root.glob("JOB*"))
        self._all = {record.jobid: record for folder in folders for record in _kept(folder)}

    def add(self, jobname: str, owner: str, jcl: str, symbols: dict[str, str]) -> JobRecord:
        with self.lock:
            number = self._next()
            jobid = f"JOB{number:05d}"
            correlator = f"J{number:07d}ML01JES2{secrets.token_hex(4).upper()}.......:"
            record = JobRecord(self._root / jobid, jobid, jobname, owner, correlator, symbols=symbols)
            record.folder.mkdir()
            write_atomic(record.folder / _JCL, jcl.encode("utf-8"))
            record.save()
            self._all[jobid] = record
            return record

    def find(self, jobname: str, jobid: str) -> JobRecord | None:
        with self.lock:
            record = self._all.get(jobid)
        return record if record is not None and record.jobname == jobname else None

    def by_correlator(self, correlator: str) -> JobRecord | None:
        return next((record for record in self.all() if record.correlator == correlator), None)

    def all(self) -> list[JobRecord]:
        with self.lock:
            return list(self._all.values())

    def purge(self, record: JobRecord) -> None:
        """Nobody finds it any more; one that runs keeps its folder until it has ended."""
        with self.lock:
            record.purged = True
            self._all.pop(record.jobid, None)
            (record.folder / _JOB).unlink(missing_ok=True)
        if record.status != "ACTIVE":
            remove(record.folder)

    def _next(self) -> int:
        last: int = (read_json(self._root / _NUMBER) or {"last": 0})["last"]
        number = last % HIGHEST + 1
        while (self._root / f"JOB{number:05d}").exists():
            number = number % HIGHEST + 1
        write_json(self._root / _NUMBER, {"last": number})
        return number


def _kept(folder: Path) -> list[JobRecord]:
    value: dict[str, Any] | None = read_json(folder / _JOB)
    if value is None:
        return []
    files = [SpoolFile(**file) for file in value.pop("files")]
    steps = [StepRecord(**step) for step in value.pop("steps")]
    record = JobRecord(folder=folder, files=files, steps=steps, **value)
    if record.status == "ACTIVE":
        record.status, record.retcode = "OUTPUT", "SYS FAIL"
        record.save()
    return [record]
