"""One job that runs: step after step, its conditions, its messages, its return code."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlship_batch.emulator import programs
from mlship_batch.emulator.catalog import DataSet, Refused
from mlship_batch.emulator.jcl.conditions import Ended
from mlship_batch.emulator.jcl.job import Job, Step
from mlship_batch.emulator.run.abend import Abend, Cancelled, NotAllocated
from mlship_batch.emulator.run.allocate import Held, JobData
from mlship_batch.emulator.run.allocated import Allocated
from mlship_batch.emulator.run.record import JobRecord, StepRecord
from mlship_batch.emulator.run.step import Running

if TYPE_CHECKING:
    from mlship_batch.emulator.run.jes import Parts

_KEPT = 0xFFF  # a return code has twelve bits


class Execution:
    """Runs `job` once."""

    def __init__(self, record: JobRecord, job: Job, parts: Parts) -> None:
        self.record, self.job, self.parts = record, job, parts
        self.outcomes: dict[str, Ended] = {}
        self.abended = ""
        self.data = JobData(
            parts.catalog,
            parts.generations,
            f"J{record.jobid[3:]}",
            lambda dd, step, lrecl: record.spool(dd, step or "-", lrecl),
            lambda path: (
                parts.home / path.lstrip("/") if not path.startswith(str(parts.home)) else Path(path)
            ),
            lambda text: record.note("JESYSMSG", text),
        )

    def run(self) -> str:
        """The return code as z/OSMF says it."""
        user = self.record.jobid
        try:
            if not self.parts.in_use.take(user, self._wanted(), lambda: not self.record.cancelled.is_set()):
                return "CANCELED"
            return self._steps()
        except Cancelled:
            return "CANCELED"
        except NotAllocated as missing:
            self.record.note("JESYSMSG", str(missing))
            self.record.note("JESMSGLG", f"IEF453I {self.record.jobname} - JOB FAILED - JCL ERROR")
            return "JCL ERROR"
        finally:
            self.data.end()
            self.parts.in_use.give_back(user)

    def _wanted(self) -> dict[str, bool]:
        """The data sets of all steps; the base of a new generation is taken alone."""
        wanted: dict[str, bool] = {}
        for dd in [dd for step in self.job.steps for dd in step.dds] + self.job.joblib:
            if dd.dsn is None or dd.dsn.dsn.startswith("&&"):
                continue
            alone = dd.dsn.relative > 0 if dd.dsn.relative is not None else dd.alone
            wanted[dd.dsn.dsn] = wanted.get(dd.dsn.dsn, False) or alone
        return wanted

    def _steps(self) -> str:
        restart = self.job.restart.removesuffix(".")
        skipping = restart not in ("", "*")
        for number, step in enumerate(self.job.steps, 1):
            if self.record.cancelled.is_set():
                raise Cancelled
            skipping = skipping and step.name != restart
            ended = StepRecord(number, step.name, step.program)
            self.record.steps.append(ended)
            if skipping or self._bypassed(step):
                ended.completion = "FLUSH"
                self.record.note("JESYSMSG", f"IEF202I {self.record.jobname} {step.name} - STEP WAS NOT RUN")
            else:
                self._step(step, ended)
            self.record.save()
        fault = self.parts.faults.job(("sys fail",), self.record.jobname)
        if fault is not None:
            return "SYS FAIL"
        if self.abended:
            return f"ABEND{self.abended}" if self.abended.startswith("U") else f"ABEND {self.abended}"
        return f"CC {max([each.code for each in self.outcomes.values()], default=0):04d}"

    def _bypassed(self, step: Step) -> bool:
        if not all(guard.lets(self.outcomes) for guard in step.guards):
            return True
        asks_for_abends = any("ABEND" in guard.condition for guard in step.guards)
        if self.outcomes and self.job.cond.bypasses(self.outcomes, False):
            return True
        return step.cond.bypasses(self.outcomes, bool(self.abended) and not asks_for_abends)

    def _step(self, step: Step, ended: StepRecord) -> None:
        ended.active = True
        self.record.save()
        abended = True
        held: list[Held] = []
        try:
            dds, held = self.data.allocate(step)
            code = self._program(step, dds)
            abended = False
            ended.completion = f"CC {code:04d}"
            self._note_end(step, ended, Ended(code))
            self.record.note(
                "JESYSMSG",
                f"IEF142I {self.record.jobname} {step.name} - STEP WAS EXECUTED - COND CODE {code:04d}",
            )
        except Abend as abend:
            self._abend(step, ended, abend)
        except NotAllocated:
            ended.completion = "JCL ERROR"
            raise
        except Cancelled:
            ended.completion = "CANCELED"
            raise
        finally:
            ended.active = False
            self._released(held, abended)

    def _note_end(self, step: Step, ended: StepRecord, how: Ended) -> None:
        """Under the step's name; one without a name, or with that of another, counts as well."""
        own = step.name and step.name not in self.outcomes
        self.outcomes[step.name if own else f"{step.name}*{ended.number}"] = how

    def _abend(self, step: Step, ended: StepRecord, abend: Abend) -> None:
        self.abended = abend.code
        ended.completion = f"ABEND {abend.code}"
        self._note_end(step, ended, Ended(abend=abend.code))
        self.record.note("JESYSMSG", str(abend))
        self.record.note(
            "JESMSGLG",
            f"IEF450I {self.record.jobname} {step.name} - ABEND={abend.code} REASON={abend.reason or '00'}",
        )

    def _released(self, held: list[Held], abended: bool) -> None:
        try:
            self.data.release(held, abended=abended)
        except Refused as refused:
            self.record.note("JESYSMSG", f"IEF287I NOT CATLGD 2 - {refused}")

    def _program(self, step: Step, dds: dict[str, Allocated]) -> int:
        fault = self.parts.faults.job(("abend", "code", "active"), self.record.jobname, step.name)
        if fault is not None and fault.do == "active":
            self.record.cancelled.wait()
            raise Cancelled
        if fault is not None and fault.do == "abend":
            raise Abend(fault.code or "S0C7", message=f"ABEND {fault.code}")
        if fault is not None:
            return int(fault.code or 0)
        scratch = Path(tempfile.mkdtemp(dir=self.parts.scratch))
        try:
            return programs.run(self._running(step, dds, scratch)) & _KEPT
        finally:
            shutil.rmtree(scratch)

    def _running(self, step: Step, dds: dict[str, Allocated], scratch: Path) -> Running:
        return Running(
            name=step.name,
            program=step.program,
            parm=step.parm,
            dds=dds,
            catalog=self.parts.catalog,
            generations=self.parts.generations,
            real=self.data.real,
            cancelled=self.record.cancelled.is_set,
            libraries=self._libraries(dds),
            scratch=scratch,
            home=self.parts.home,
            sysout=lambda name: Allocated(
                name, self.parts.catalog, spool=self.record.spool(name, step.name or "-")
            ),
        )

    def _libraries(self, dds: dict[str, Allocated]) -> list[DataSet]:
        own = dds.get("STEPLIB")
        if own is not None:
            return [dd.data_set for dd in [own, *own.more] if dd.data_set is not None]
        try:
            return [self.parts.catalog.get(dd.dsn.dsn) for dd in self.job.joblib if dd.dsn is not None]
        except Refused as missing:
            raise NotAllocated(f"IEF212I JOBLIB - {missing}") from missing
