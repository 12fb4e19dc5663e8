"""A job as values: its card, steps with their DDs, and the IFs around steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlship.errors import ConfigError
from mlship_batch.jcl import checked
from mlship_batch.names import DataSetName

Operator = Literal["GT", "GE", "EQ", "LT", "LE", "NE"]
After = Literal["DELETE", "KEEP", "PASS", "CATLG"]
TRACK, CYLINDER = 56664, 15  # bytes of a 3390's track, tracks of a cylinder
_HALF = 27998  # the largest block of which a track has two
_LARGEST = 65535  # tracks of one volume that a data set can have without DSNTYPE=LARGE
_CODES = (0, 4095)


@dataclass(frozen=True)
class Records:
    """Format of a data set that is made: `recfm` FB, VB or U. The system chooses the block size."""

    recfm: Literal["FB", "VB", "U"]
    lrecl: int = 0

    def __post_init__(self) -> None:
        least = {"FB": 1, "VB": 5, "U": 0}[self.recfm]
        checked.number(self.lrecl, least, 0 if self.recfm == "U" else 32756, f"LRECL of {self.recfm}")


@dataclass(frozen=True)
class Space:
    """Tracks: of the first extent, and of each that may follow."""

    primary: int
    secondary: int

    def __post_init__(self) -> None:
        checked.number(self.primary, 1, _LARGEST, "number of tracks")
        checked.number(self.secondary, 0, _LARGEST, "number of tracks")


def space_for(size: int, records: Records) -> Space:
    """Room for `size` bytes in blocks of half a track, and a tenth more in each further extent. Raises
    ConfigError for more than one volume has."""
    block = (
        _HALF // records.lrecl * records.lrecl if records.recfm == "FB" and records.lrecl <= _HALF else _HALF
    )
    per_track = 2 * block if records.lrecl <= _HALF else records.lrecl
    tracks = max(1, -(-size // per_track))
    if tracks > _LARGEST:
        raise ConfigError(f"{size} bytes are more than a data set can have here", fix="Split the file")
    return Space(tracks, min(_LARGEST, max(1, tracks // 10)))


@dataclass(frozen=True)
class Use:
    """A data set that is there: read beside others (SHR), alone (OLD), or added to (MOD)."""

    dsn: DataSetName
    how: Literal["SHR", "OLD", "MOD"] = "SHR"
    after: After = "KEEP"


@dataclass(frozen=True)
class New:
    """A data set that the step makes; gone if the step abends."""

    dsn: DataSetName
    records: Records
    space: Space
    after: After = "CATLG"
    partitioned: bool = False


@dataclass(frozen=True)
class InStream:
    """Lines that stand in the job itself."""

    lines: tuple[str, ...]

    def __post_init__(self) -> None:
        for line in self.lines:
            checked.card(line)


@dataclass(frozen=True)
class Sysout:
    """To the spool."""

    output: str = "*"

    def __post_init__(self) -> None:
        if self.output != "*" and not (len(self.output) == 1 and self.output.isalnum()):
            raise ConfigError(f"{self.output!r} is no output class")


@dataclass(frozen=True)
class Nothing:
    """DUMMY."""


Dd = Use | New | InStream | Sysout | Nothing


@dataclass(frozen=True)
class CodeTest:
    """The code with which `step` ended is `operator` `code`; an empty step means the largest so far."""

    step: str
    operator: Operator
    code: int

    def __post_init__(self) -> None:
        if self.step:
            checked.name(self.step, "step")
        checked.number(self.code, *_CODES, "return code")


def bypasses(step: str, tests: tuple[CodeTest, ...]) -> None:
    """Raises ConfigError for more than COND can have, or that it reads otherwise: without a step it looks at
    each, not at the largest."""
    checked.number(len(tests), 0, 8, "number of tests in COND")
    if any(not test.step and test.operator not in ("GT", "GE") for test in tests):
        raise ConfigError(f"step {step} is bypassed by a test that names no step", fix="Name the step")


@dataclass(frozen=True)
class Step:
    """EXEC PGM=. Each DD is one thing or several one after the other. `bypass`: not run if one holds."""

    name: str
    program: str
    dds: tuple[tuple[str, tuple[Dd, ...]], ...] = ()
    parm: str = ""
    bypass: tuple[CodeTest, ...] = ()

    def __post_init__(self) -> None:
        checked.name(self.name, "step")
        checked.name(self.program, "program")
        checked.plain(self.parm, "PARM")
        bypasses(self.name, self.bypass)
        names = [name for name, _ in self.dds]
        for name, parts in self.dds:
            checked.name(name, "DD")
            if names.count(name) > 1 or not parts:
                raise ConfigError(f"step {self.name} has DD {name} twice, or with nothing behind it")


@dataclass(frozen=True)
class If:
    """Steps that run if all of `tests` hold, and those that run otherwise."""

    tests: tuple[CodeTest, ...]
    then: tuple[Part, ...]
    otherwise: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if not self.tests or not self.then:
            raise ConfigError("an IF needs a test and a step")


Part = Step | If


@dataclass(frozen=True)
class Card:
    """The JOB card: accounting and programmer as the site writes them, further operands, statements that
    follow it, each checked by who read them (template.py)."""

    operands: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobText:
    """A whole job. `token` is the correlator, `restart` the step that it begins with."""

    name: str
    token: str
    parts: tuple[Part, ...]
    card: Card = field(default_factory=Card)
    restart: str = ""

    def __post_init__(self) -> None:
        checked.name(self.name, "job")
        checked.operand(self.token, "correlator")
        names = [step.name for step in steps_of(self.parts)]
        checked.number(len(names), 1, 255, "number of steps")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"job {self.name} has step {name} twice")
        if self.restart and self.restart not in names:
            raise ConfigError(f"job {self.name} has no step {self.restart!r} to begin with")


def steps_of(parts: tuple[Part, ...]) -> list[Step]:
    """All steps, in their order."""
    found: list[Step] = []
    for part in parts:
        found += [part] if isinstance(part, Step) else steps_of(part.then) + steps_of(part.otherwise)
    return found
