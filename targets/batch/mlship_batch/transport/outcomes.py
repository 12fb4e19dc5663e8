"""How jobs end: a table from the host's words to what it means, with which exit code, and what to do.

Only a return code that the policy allows is success; whatever is not in the table is a failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlship.errors import ConfigError, MlshipError, PolicyError, TargetError
from mlship_batch.transport.protocol import Seen

SEE = "See its spool"


@dataclass(frozen=True)
class Row:
    """`pattern` matches the whole return code; `error` carries the exit code."""

    pattern: str
    error: type[MlshipError]
    what: str
    fix: str = SEE


TABLE = (
    Row(r"CC \d{4}", TargetError, "ended with a return code above what is allowed"),
    Row(r"ABEND S0C7", TargetError, "met a field that is not numeric",
        "Compare the copybook with the data: sign, scale, record length"),
    Row(r"ABEND S0C[14-9A-F]", TargetError, "broke off with a program check"),
    Row(r"ABEND S[BDE]37", TargetError, "had no space left", "Give its data sets more space"),
    Row(r"ABEND S(?:806|0F3)", TargetError, "did not find its program", "Set the load library"),
    Row(r"ABEND S(?:001|013|213)", TargetError, "could not read or open a data set",
        "Compare record format and length with what the program expects"),
    Row(r"ABEND S(?:913|047)", PolicyError, "was not allowed to use a data set", "Ask for access to it"),
    Row(r"ABEND S(?:322|522)", TargetError, "ran longer than its class allows", "Set TIME or another class"),
    Row(r"ABEND S(?:222|122)", TargetError, "was cancelled by an operator"),
    Row(r"ABEND S(?:80A|878|822)", TargetError, "had too little memory", "Set a larger REGION"),
    Row(r"ABEND S[0-9A-F]{3}", TargetError, "broke off"),
    Row(r"ABEND ?U\d{4}", TargetError, "broke off by a decision of its program"),
    Row(r"JCL ERROR", ConfigError, "was not run: its JCL does not fit the host",
        "See JESYSMSG in its spool; check data set names and the job card"),
    Row(r"CONV (?:ERROR|ABEND)", ConfigError, "was not run: its JCL could not be converted",
        "See JESMSGLG in its spool"),
    Row(r"SEC ERROR", PolicyError, "was refused by the host's security",
        "Ask for the right to submit this job, or set another user"),
    Row(r"CANCELED", TargetError, "was cancelled"),
    Row(r"SYS FAIL", TargetError, "was lost when the system failed", "Run it again"),
)  # fmt: skip

_CODE = re.compile(r"CC (\d{4})")


def row_of(retcode: str | None) -> Row | None:
    """The first row that fits."""
    return next((row for row in TABLE if retcode is not None and re.fullmatch(row.pattern, retcode)), None)


def return_code(seen: Seen) -> int | None:
    """The number of `CC nnnn`."""
    found = _CODE.fullmatch(seen.retcode or "")
    return int(found[1]) if found else None


def judge(name: str, seen: Seen, max_rc: int, needed: tuple[str, ...] = ()) -> int:
    """The return code of a job that went well: at most `max_rc`, and each step of `needed` has run, where
    the host tells of steps. Raises what the table says otherwise."""
    code = return_code(seen)
    if seen.status != "OUTPUT" or code is None or code > max_rc:
        raise _failure(name, seen)
    ran = {step.name: step.completion for step in seen.steps}
    for step in needed:
        if seen.steps and not _CODE.fullmatch(ran.get(step) or ""):
            raise TargetError(f"job {name} ended well, but its step {step} was not run", fix=SEE)
    return code


def _failure(name: str, seen: Seen) -> MlshipError:
    row = row_of(seen.retcode)
    if seen.status != "OUTPUT" or row is None:
        return TargetError(
            f"it is not known how job {name} ended",
            cause=f"the host says {seen.status} and {seen.retcode or 'no return code'}",
            fix="See its spool; it does not count as done",
        )
    failed = [
        f"{step.name} {step.completion}" for step in seen.steps if step.completion not in (None, "CC 0000")
    ]
    cause = f"{seen.retcode}" + (f" ({', '.join(failed)})" if failed else "")
    return row.error(f"job {name} {row.what}", cause=cause, fix=row.fix)
