"""The site's job card: a text of which only the fields are replaced, and which is checked card by card.

    //{job}  JOB ({account}),'ML MODELS',CLASS=A,MSGCLASS=H,NOTIFY=&SYSUID
    /*JOBPARM SYSAFF=*

The JOB statement comes first; comments, JES control statements, SET, JCLLIB and OUTPUT may follow. The
correlator and RESTART are added here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlship.errors import ConfigError
from mlship_batch.jcl import checked
from mlship_batch.jcl.cards import statement
from mlship_batch.jcl.values import Card
from mlship_batch.names import is_name

FIELD = re.compile(r"\{([a-z_]*)\}")
USUAL = "//{job} JOB ({account}),'MLSHIP',CLASS=A,MSGCLASS=H\n"
_LAST = 71
_JOB = re.compile(r"//(\S+)\s+JOB(?:\s+(.*))?")
_FOLLOWS = re.compile(r"//\*.*|/\*(?:JOBPARM|ROUTE|XEQ|SETUP|PRIORITY)\b.*|//\S*\s+(?:SET|JCLLIB|OUTPUT)\s.*")
_OWN = ("UJOBCORR", "RESTART", "TYPRUN")
_OPERAND = re.compile(r"(?:'(?:[^'&]|'')*'|[A-Z0-9@#$.()*+=&,/-])+")


def read_card(template: str, fields: Mapping[str, str]) -> Card:
    """The card of a job that is called `fields["job"]`. Raises ConfigError that names the line: a field that
    is not there, a statement that does not belong, a card that is too long."""
    lines = [_filled(line, number, fields) for number, line in enumerate(template.splitlines(), 1)]
    name, operands, at = _job_statement(lines)
    if name != fields["job"]:
        raise _wrong(1, "it has to begin with //{job} JOB")
    for operand in operands:
        if operand.partition("=")[0] in _OWN:
            raise _wrong(1, f"{operand.partition('=')[0]} is set by mlship")
    for number, line in enumerate(lines[at:], at + 1):
        if not _FOLLOWS.fullmatch(line):
            raise _wrong(
                number, "only comments, JES statements, SET, JCLLIB and OUTPUT may follow the JOB card"
            )
    return Card(tuple(operands), tuple(line.rstrip() for line in lines[at:]))


def with_correlator(text: str, token: str) -> tuple[str, str]:
    """The name of the job in `text`, and `text` with the correlator on its JOB card. Raises ConfigError."""
    lines = text.splitlines()
    name, operands, at = _job_statement(lines)
    if any(operand.startswith("UJOBCORR=") for operand in operands):
        raise _wrong(1, "it has a UJOBCORR", "Take it out: mlship finds the job by its own")
    cards = statement(name, "JOB", [*operands, f"UJOBCORR={token}"])
    return name, "".join(line.rstrip() + "\n" for line in [*cards, *lines[at:]])


def _job_statement(lines: list[str]) -> tuple[str, list[str], int]:
    """Its name, its operands, and the number of lines that it takes."""
    found = _JOB.fullmatch(lines[0][:_LAST].rstrip()) if lines else None
    if found is None or not is_name(found[1]):
        raise _wrong(1, "it is no JOB statement with a name")
    operands, at = _uncommented(found[2] or ""), 1
    while operands.endswith(",") and at < len(lines) and lines[at].startswith("// "):
        operands += _uncommented(lines[at][2:_LAST].strip())
        at += 1
    return found[1], _operands(operands), at


def _filled(line: str, number: int, fields: Mapping[str, str]) -> str:
    for name in FIELD.findall(line):
        if name not in fields:
            raise _wrong(number, f"there is no field {{{name}}}", f"It has {', '.join(sorted(fields))}")
    text = FIELD.sub(lambda found: checked.operand(fields[found[1]], found[1]), line)
    if not text.isascii() or not text.isprintable():
        raise _wrong(number, "a card is printable ASCII")
    if len(text.rstrip()) > _LAST:
        raise _wrong(number, f"a card has {_LAST} columns, this one {len(text.rstrip())}")
    return text


def _uncommented(text: str) -> str:
    """Up to the first blank that is in no quotes."""
    inside = False
    for at, character in enumerate(text):
        inside ^= character == "'"
        if character == " " and not inside:
            return text[:at]
    return text


def _operands(text: str) -> list[str]:
    parts, depth, inside = [""], 0, False
    for character in text:
        inside ^= character == "'"
        depth += 0 if inside else (character == "(") - (character == ")")
        if character == "," and not depth and not inside:
            parts.append("")
        else:
            parts[-1] += character
    if depth or inside or (text and not all(_OPERAND.fullmatch(part) for part in parts)):
        raise _wrong(1, "its operands cannot be read")
    return [part for part in parts if part] if text else []


def _wrong(number: int, cause: str, fix: str = "See targets/batch/example.toml") -> ConfigError:
    return ConfigError(f"line {number} of the job card cannot be used", cause=cause, fix=fix)
