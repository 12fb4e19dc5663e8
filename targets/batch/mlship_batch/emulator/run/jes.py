"""JES: takes jobs in, runs them one after the other per initiator, keeps what they wrote."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlship_batch.emulator.catalog import Catalog
from mlship_batch.emulator.faults import Faults
from mlship_batch.emulator.generations import Generations
from mlship_batch.emulator.in_use import InUse
from mlship_batch.emulator.jcl.cards import JclError
from mlship_batch.emulator.jcl.job import Job, read_job
from mlship_batch.emulator.run.execution import Execution
from mlship_batch.emulator.run.record import JobRecord, Jobs

_INITIATORS = 2
_STOP = ("hold", "input")


@dataclass
class Parts:
    """What jobs work on."""

    catalog: Catalog
    generations: Generations
    in_use: InUse
    faults: Faults
    home: Path  # of z/OS UNIX
    scratch: Path


class Rejected(Exception):
    """JES does not take the job in."""


class Jes:
    """`jobs` is all there is to ask about; `submit` and the rest change it."""

    def __init__(self, root: Path, parts: Parts) -> None:
        self.jobs, self._parts = Jobs(root), parts
        self._ready: queue.SimpleQueue[JobRecord | None] = queue.SimpleQueue()
        self._names = threading.Lock()
        self._running: set[str] = set()
        self._threads = [threading.Thread(target=self._initiator, daemon=True) for _ in range(_INITIATORS)]
        for thread in self._threads:
            thread.start()
        for record in self.jobs.all():
            if record.status == "INPUT" and not record.held:
                self._ready.put(record)

    def submit(self, jcl: str, owner: str, symbols: Mapping[str, str]) -> JobRecord:
        """Raises Rejected for what has no JOB card."""
        lines = jcl.splitlines()
        name = _name_of(lines)
        record = self.jobs.add(name, owner, jcl, {"SYSUID": owner, **symbols})
        for number, line in enumerate(lines, 1):
            record.note("JESJCL", f"{number:9d} {line.rstrip()}")
        held = self._parts.faults.job(_STOP, name)
        record.held = self._convert(record, lines) if held is None else True
        record.save()
        if record.status == "INPUT" and not record.held:
            self._ready.put(record)
        return record

    def release(self, record: JobRecord) -> None:
        if record.status == "INPUT" and record.held:
            record.held = False
            record.save()
            self._ready.put(record)

    def hold(self, record: JobRecord) -> None:
        record.held = record.status == "INPUT"
        record.save()

    def cancel(self, record: JobRecord) -> None:
        """Ends it, wherever it is; what has ended already stays as it is."""
        with self.jobs.lock:
            record.cancelled.set()
            if record.status == "INPUT":
                _end(record, "CANCELED")

    def purge(self, record: JobRecord) -> None:
        with self.jobs.lock:
            self.cancel(record)
            self.jobs.purge(record)

    def close(self) -> None:
        """Cancel what runs, and wait for it."""
        for record in self.jobs.all():
            if record.status == "ACTIVE":
                record.cancelled.set()
        for _ in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join(30)

    def _convert(self, record: JobRecord, lines: list[str]) -> bool:
        """Whether the job stays held. What cannot be read has ended."""
        fault = self._parts.faults.job(("jcl error", "sec error", "conv error"), record.jobname)
        try:
            job = read_job(lines, record.symbols)
        except JclError as error:
            record.note("JESYSMSG", f"{error.card:6d} {error}")
            record.note("JESMSGLG", f"IEF452I {record.jobname} - JOB NOT RUN - JCL ERROR")
            _end(record, "JCL ERROR")
            return False
        record.correlator += job.correlator
        if fault is not None or (job.user and job.user != record.owner):
            what = fault.do.upper() if fault is not None else "SEC ERROR"
            record.note("JESMSGLG", f"IEF452I {record.jobname} - JOB NOT RUN - {what}")
            _end(record, what)
        elif job.typrun == "SCAN":
            _end(record, "CC 0000")
        return job.typrun in ("HOLD", "JCLHOLD")

    def _initiator(self) -> None:
        while (record := self._ready.get()) is not None:
            if not self._begin(record):
                if record.status != "INPUT" or record.held:
                    continue
                self._ready.put(record)  # one of its name runs
                threading.Event().wait(0.05)
                continue
            try:
                self._run(record)
            finally:
                with self._names:
                    self._running.discard(record.jobname)

    def _begin(self, record: JobRecord) -> bool:
        with self.jobs.lock, self._names:
            if record.status != "INPUT" or record.held or record.jobname in self._running:
                return False
            self._running.add(record.jobname)
            record.status = "ACTIVE"
            record.save()
            return True

    def _run(self, record: JobRecord) -> None:
        try:
            job: Job = read_job(record.jcl().splitlines(), record.symbols)
        except JclError as error:
            record.note("JESYSMSG", f"{error.card:6d} {error}")
            _end(record, "JCL ERROR")
            return
        try:
            retcode = Execution(record, job, self._parts).run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the system that has failed
            record.note("JESMSGLG", f"$HASP088 {type(error).__name__}: {error}")
            retcode = "SYS FAIL"
        if self._parts.faults.job(("vanish",), record.jobname) is not None:
            self.jobs.purge(record)
        _end(record, retcode)
        if record.purged:
            self.jobs.purge(record)


def _end(record: JobRecord, retcode: str) -> None:
    record.status, record.retcode, record.held = "OUTPUT", retcode, False
    record.note("JESMSGLG", f"$HASP395 {record.jobname} ENDED - {retcode}")
    record.save()


def _name_of(lines: list[str]) -> str:
    for line in lines:
        if line.startswith("//") and not line.startswith("//*"):
            words = line[2:].split()
            if len(words) > 1 and words[1] == "JOB":
                return words[0][:8]
            break
    raise Rejected("Job input was not recognized by system as a job")
