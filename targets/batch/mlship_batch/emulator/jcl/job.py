"""A whole job: its card, its steps in their order, and the IFs around them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlship_batch.emulator.jcl import cards, operands
from mlship_batch.emulator.jcl.cards import JclError, Statement
from mlship_batch.emulator.jcl.conditions import Cond, Outcomes, holds, read_cond
from mlship_batch.emulator.jcl.dd import Dd, read_dd
from mlship_batch.emulator.jcl.operands import Operands, unquoted
from mlship_batch.names import is_name

_JOB = frozenset(
    [
        "CLASS",
        "MSGCLASS",
        "MSGLEVEL",
        "NOTIFY",
        "REGION",
        "TIME",
        "TYPRUN",
        "RESTART",
        "COND",
        "USER",
        "GROUP",
        "PASSWORD",
        "RD",
        "PRTY",
        "SCHENV",
        "SYSTEM",
        "SYSAFF",
        "LINES",
        "BYTES",
        "CARDS",
        "PAGES",
        "MEMLIMIT",
        "JOBRC",
        "UJOBCORR",
    ]
)
_EXEC = frozenset(
    ["PGM", "PARM", "COND", "REGION", "TIME", "ACCT", "RD", "ADDRSPC", "DYNAMNBR", "PERFORM", "MEMLIMIT"]
)
_CORRELATOR = re.compile(r"[A-Z@#$][A-Z0-9@#$]{0,31}")
_LONGEST_PARM = 100
_STEPS = 255


@dataclass(frozen=True)
class Guard:
    """One IF that a step stands in, in its THEN or its ELSE part."""

    condition: str
    card: int
    negated: bool = False

    def lets(self, outcomes: Outcomes) -> bool:
        return holds(self.condition, outcomes, self.card) != self.negated


@dataclass
class Step:
    """EXEC PGM= with its DDs."""

    name: str
    program: str
    parm: str
    cond: Cond
    card: int
    guards: tuple[Guard, ...] = ()
    dds: list[Dd] = field(default_factory=list)


@dataclass
class Job:
    """What the JOB card says, and the steps."""

    name: str
    job_class: str
    message_class: str
    typrun: str
    restart: str
    user: str
    correlator: str
    cond: Cond
    card: int = 1
    steps: list[Step] = field(default_factory=list)
    joblib: list[Dd] = field(default_factory=list)


def read_job(lines: Sequence[str], symbols: Mapping[str, str]) -> Job:
    """Raises JclError: for a card that is too long, a statement that is none, a job without steps."""
    for number, line in enumerate(lines, 1):
        if len(line) > cards.WIDTH:
            raise JclError(f"IEFC006I CARD HAS {len(line)} COLUMNS", number)
    reader = _Reader(dict(symbols))
    for statement in cards.statements([line.ljust(cards.WIDTH) for line in lines]):
        reader.take(statement)
    return reader.whole()


class _Reader:
    """Takes statement after statement."""

    def __init__(self, symbols: dict[str, str]) -> None:
        self.symbols = symbols
        self.job: Job | None = None
        self.guards: list[Guard] = []
        self._verbs = {
            "EXEC": self._exec, "DD": self._dd, "SET": self._set, "IF": self._if, "ELSE": self._else,
            "ENDIF": self._endif, "OUTPUT": self._ignored, "JCLLIB": self._ignored, "EXPORT": self._ignored,
        }  # fmt: skip

    def take(self, statement: Statement) -> None:
        text = operands.substituted(statement.operands, self.symbols)
        if self.job is None:
            if statement.operation != "JOB":
                raise JclError("IEFC607I JOB HAS NO JOB STATEMENT", statement.card)
            self.job = _job(statement, operands.read(text, statement.card))
            return
        verb = self._verbs.get(statement.operation)
        if verb is None:
            raise JclError(f"IEFC605I UNIDENTIFIED OPERATION FIELD {statement.operation}", statement.card)
        verb(self.job, statement, text)

    def whole(self) -> Job:
        if self.job is None:
            raise JclError("IEFC607I JOB HAS NO JOB STATEMENT", 1)
        if self.guards:
            raise JclError("IEFC612I IF WITHOUT ENDIF", self.guards[-1].card)
        if not self.job.steps:
            raise JclError("IEFC607I JOB HAS NO STEPS", self.job.card)
        restart = self.job.restart.removesuffix(".")
        if restart and restart != "*" and restart not in [step.name for step in self.job.steps]:
            raise JclError(f"IEFC625I STEP {restart} OF RESTART WAS NOT FOUND", self.job.card)
        return self.job

    def _exec(self, job: Job, statement: Statement, text: str) -> None:
        given = operands.read(text, statement.card)
        given.known(_EXEC, statement.card)
        if given.positional or not is_name(given.text("PGM")):
            raise JclError("IEFC612I PROCEDURES ARE NOT SUPPORTED, OR PGM IS WRONG", statement.card)
        if statement.name and not is_name(statement.name):
            raise JclError(f"IEFC662I INVALID LABEL {statement.name}", statement.card)
        parm = unquoted(given.keyword.get("PARM", "").strip("()"))
        if len(parm) > _LONGEST_PARM:
            raise JclError("IEFC642I EXCESSIVE PARAMETER LENGTH IN THE PARM FIELD", statement.card)
        if len(job.steps) == _STEPS:
            raise JclError("IEFC614I MORE THAN 255 STEPS", statement.card)
        cond = read_cond(given.keyword.get("COND", ""), statement.card)
        step = Step(statement.name, given.text("PGM"), parm, cond, statement.card, tuple(self.guards))
        job.steps.append(step)

    def _dd(self, job: Job, statement: Statement, text: str) -> None:
        dd = read_dd(statement, text)
        into = job.steps[-1].dds if job.steps else job.joblib
        if not job.steps and dd.name not in ("JOBLIB", "JOBCAT", ""):
            raise JclError(f"IEFC016I DD {dd.name} BEFORE THE FIRST STEP", statement.card)
        if not dd.name and not into:
            raise JclError("IEFC018I CONCATENATION WITHOUT A DD BEFORE IT", statement.card)
        if not dd.name or dd.name not in [known.name for known in into]:
            into.append(dd)  # of two with one name the system takes the first

    def _set(self, job: Job, statement: Statement, text: str) -> None:
        for name, value in operands.read(text, statement.card).keyword.items():
            self.symbols[name] = unquoted(value)

    def _if(self, job: Job, statement: Statement, text: str) -> None:
        holds(text, {}, statement.card)  # what is no condition is found before anything runs
        self.guards.append(Guard(text, statement.card))

    def _else(self, job: Job, statement: Statement, text: str) -> None:
        if not self.guards or self.guards[-1].negated:
            raise JclError("IEFC612I ELSE WITHOUT IF", statement.card)
        self.guards.append(replace(self.guards.pop(), negated=True))

    def _endif(self, job: Job, statement: Statement, text: str) -> None:
        if not self.guards:
            raise JclError("IEFC612I ENDIF WITHOUT IF", statement.card)
        self.guards.pop()

    def _ignored(self, job: Job, statement: Statement, text: str) -> None:
        """Nothing that the emulator does hangs on it."""


def _job(statement: Statement, given: Operands) -> Job:
    card = statement.card
    given.known(_JOB, card)
    if not is_name(statement.name):
        raise JclError(f"IEFC662I INVALID LABEL {statement.name}", card)
    if (typrun := given.text("TYPRUN")) not in ("", "HOLD", "SCAN", "JCLHOLD", "COPY"):
        raise JclError(f"IEFC642I INVALID VALUE {typrun} IN THE TYPRUN FIELD", card)
    return Job(
        name=statement.name,
        job_class=given.text("CLASS", "A"),
        message_class=given.text("MSGCLASS", "H"),
        typrun=typrun,
        restart=given.text("RESTART"),
        user=given.text("USER"),
        correlator=_correlator(given, card),
        cond=read_cond(given.keyword.get("COND", ""), card),
        card=card,
    )


def _correlator(given: Operands, card: int) -> str:
    """What the submitter calls the job."""
    value = given.text("UJOBCORR")
    if value and not _CORRELATOR.fullmatch(value):
        raise JclError(f"IEFC642I INVALID VALUE {value} IN THE UJOBCORR FIELD", card)
    return value
