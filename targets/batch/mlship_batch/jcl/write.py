"""A job's values as JCL, ready to be submitted: cards of at most 80 columns of printable ASCII."""

from __future__ import annotations

from collections.abc import Iterator

from mlship.errors import ConfigError
from mlship_batch.jcl.cards import condition, quoted, statement
from mlship_batch.jcl.values import (
    CYLINDER,
    CodeTest,
    Dd,
    If,
    InStream,
    JobText,
    New,
    Nothing,
    Part,
    Step,
    Sysout,
    Use,
)

_TURNED = {"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE"}
_DELIMITERS = ("@@", "##", "$$", "ZZ", "QQ", "XX", "YY")


def jcl(job: JobText) -> str:
    """Raises ConfigError for in-stream data that no delimiter can end."""
    return "".join(line.rstrip() + "\n" for line in _lines(job))


def _lines(job: JobText) -> Iterator[str]:
    restart = [f"RESTART={job.restart}"] if job.restart else []
    yield from statement(job.name, "JOB", [*job.card.operands, *restart, f"UJOBCORR={job.token}"])
    yield from job.card.statements
    for part in job.parts:
        yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Step):
        yield from _step(part)
        return
    yield from _if(part)


def _if(part: If) -> Iterator[str]:
    yield from condition([_tested(test) for test in part.tests])
    for inner in part.then:
        yield from _part(inner)
    if part.otherwise:
        yield "// ELSE"
        for inner in part.otherwise:
            yield from _part(inner)
    yield "// ENDIF"


def _step(step: Step) -> Iterator[str]:
    operands = [f"PGM={step.program}"]
    if step.bypass:
        tests = [_bypass(test) for test in step.bypass]
        operands.append(f"COND=({','.join(tests)})")
    if step.parm:
        operands.append(f"PARM={quoted(step.parm)}")
    yield from statement(step.name, "EXEC", operands)
    for name, parts in step.dds:
        for at, dd in enumerate(parts):
            yield from _dd(name if at == 0 else "", dd)


def _dd(name: str, dd: Dd) -> Iterator[str]:
    if isinstance(dd, InStream):
        end = _delimiter(dd.lines)
        yield from statement(name, "DD", ["DATA", f"DLM={quoted(end)}"])
        yield from dd.lines
        yield end
    elif isinstance(dd, Sysout):
        yield from statement(name, "DD", [f"SYSOUT={dd.output}"])
    elif isinstance(dd, Nothing):
        yield from statement(name, "DD", ["DUMMY"])
    elif isinstance(dd, Use):
        yield from statement(name, "DD", [f"DISP=({dd.how},{dd.after})", f"DSN={dd.dsn}"])
    else:
        yield from statement(name, "DD", _new(dd))


def _new(dd: New) -> list[str]:
    space = dd.space
    unit, amounts = "TRK", (space.primary, space.secondary)
    if space.primary >= CYLINDER:
        unit, amounts = "CYL", (-(-space.primary // CYLINDER), -(-space.secondary // CYLINDER))
    shape = [f"RECFM={dd.records.recfm}"] + ([f"LRECL={dd.records.lrecl}"] if dd.records.lrecl else [])
    return [
        f"DISP=(NEW,{dd.after},DELETE)",
        f"DSN={dd.dsn}",
        f"SPACE=({unit},({amounts[0]},{amounts[1]}))",
        *shape,
        *(["DSNTYPE=LIBRARY"] if dd.partitioned else []),
    ]


def _bypass(test: CodeTest) -> str:
    """COND has the number on the left."""
    seen = f",{test.step}" if test.step else ""
    return f"({test.code},{_TURNED.get(test.operator, test.operator)}{seen})"


def _tested(test: CodeTest) -> str:
    return f"{test.step + '.' if test.step else ''}RC {test.operator} {test.code}"


def _delimiter(lines: tuple[str, ...]) -> str:
    for end in _DELIMITERS:
        if not any(line.startswith(end) for line in lines):
            return end
    raise ConfigError("in-stream data begins with every delimiter there is", fix="Put it into a data set")
