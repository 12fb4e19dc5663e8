"""DD statements: what a step reads and writes, and what becomes of it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from mlship_batch.emulator.formats import BadFormat, Format, made
from mlship_batch.emulator.jcl import operands
from mlship_batch.emulator.jcl.cards import JclError, Statement
from mlship_batch.emulator.jcl.operands import Operands, inner, unquoted
from mlship_batch.emulator.space import Space, asked
from mlship_batch.names import DataSetName, NotAName, is_name, read_data_set

_KNOWN = frozenset(
    [
        "DSN",
        "DSNAME",
        "DISP",
        "UNIT",
        "VOL",
        "VOLUME",
        "SPACE",
        "DCB",
        "RECFM",
        "LRECL",
        "BLKSIZE",
        "DSORG",
        "DSNTYPE",
        "SYSOUT",
        "DLM",
        "LIKE",
        "PATH",
        "PATHDISP",
        "PATHOPTS",
        "PATHMODE",
        "FILEDATA",
        "STORCLAS",
        "MGMTCLAS",
        "DATACLAS",
        "EXPDT",
        "RETPD",
        "AVGREC",
        "FREE",
        "HOLD",
        "LABEL",
        "DEST",
        "OUTLIM",
    ]
)
_AFTER = ("DELETE", "KEEP", "PASS", "CATLG", "UNCATLG")
_TEMPORARY = "&&"


@dataclass(frozen=True)
class Disp:
    """(status, when the step ends well, when it abends)."""

    status: str
    normal: str
    abnormal: str


@dataclass(frozen=True)
class Dd:
    """`name` is empty for what is concatenated to the DD before. Exactly one of `dsn` (a temporary one begins
    with &&), `path`, `sysout`, `data` and `dummy` says what it is."""

    name: str
    card: int
    dsn: DataSetName | None = None
    path: str = ""
    sysout: str = ""
    data: tuple[str, ...] | None = None
    dummy: bool = False
    disp: Disp = field(default_factory=lambda: Disp("NEW", "DELETE", "DELETE"))
    format: Format | None = None
    space: Space | None = None
    like: str = ""

    @property
    def alone(self) -> bool:
        """Whether the data set is taken alone, not beside others."""
        return self.disp.status != "SHR"


def read_dd(statement: Statement, text: str) -> Dd:
    """Raises JclError."""
    name, card = statement.name, statement.card
    if name and not is_name(name):
        raise JclError(f"IEFC662I INVALID LABEL {name}", card)
    given = operands.read(text, card)
    given.known(_KNOWN, card)
    first = given.positional[0] if given.positional else ""
    if given.positional[1:] or first not in ("", "*", "DATA", "DUMMY"):
        raise JclError("IEFC010I POSITIONAL PARAMETERS ARE WRONG ON THE DD STATEMENT", card)
    if first in ("*", "DATA"):
        return Dd(name, card, data=tuple(statement.data))
    if first == "DUMMY" or given.text("DSN") == "NULLFILE":
        return Dd(name, card, dummy=True)
    if "SYSOUT" in given.keyword:
        return Dd(name, card, sysout=inner(given.keyword["SYSOUT"])[0] or "*", format=_format(given, card))
    if "PATH" in given.keyword:
        return Dd(name, card, path=given.text("PATH"))
    return _data_set(name, card, given)


def _data_set(name: str, card: int, given: Operands) -> Dd:
    text = given.text("DSN") or given.text("DSNAME")
    disp = _disp(given.keyword.get("DISP", ""), card)
    try:
        space = _space(given.keyword["SPACE"], card) if "SPACE" in given.keyword else None
        dsn = _named(text, name, card)
    except (NotAName, ValueError) as error:
        raise JclError(f"IEFC642I {error}", card) from error
    if disp.status == "NEW" and dsn.member is not None and space is None and not given.keyword.get("LIKE"):
        raise JclError("IEFC643I UNIDENTIFIED NEW MEMBER WITHOUT SPACE ON THE DD STATEMENT", card)
    return Dd(
        name, card, dsn=dsn, disp=disp, format=_format(given, card), space=space, like=given.text("LIKE")
    )


def _named(text: str, name: str, card: int) -> DataSetName:
    if not text:
        return DataSetName(f"{_TEMPORARY}{name or card}")
    if text.startswith(_TEMPORARY):
        inner_name, _, member = text[2:].partition("(")
        if not is_name(inner_name):
            raise NotAName(f"{text!r} is no name of a temporary data set")
        return DataSetName(_TEMPORARY + inner_name, member.removesuffix(")") or None)
    return read_data_set(text)


def _disp(value: str, card: int) -> Disp:
    parts = [*inner(value, card), "", "", ""]
    status = parts[0] or "NEW"
    usual = "DELETE" if status == "NEW" else "KEEP"
    normal = parts[1] or usual
    disp = Disp(status, normal, parts[2] or (usual if normal == "PASS" else normal))
    if status not in ("NEW", "OLD", "SHR", "MOD") or any(
        x not in _AFTER for x in (disp.normal, disp.abnormal)
    ):
        raise JclError(f"IEFC642I INVALID VALUE {value} IN THE DISP FIELD", card)
    return disp


def _format(given: Operands, card: int) -> Format | None:
    dcb = operands.read(",".join(inner(given.keyword.get("DCB", ""), card)).strip(","), card)
    merged = Operands([], {**dcb.keyword, **given.keyword})
    if not any(name in merged.keyword for name in ("RECFM", "LRECL", "DSORG", "BLKSIZE")):
        return None
    recfm = merged.text("RECFM", "U" if "LRECL" not in merged.keyword else "FB")
    partitioned = merged.text("DSNTYPE") in ("PDS", "LIBRARY") or _directory(given)
    try:
        return made(
            merged.text("DSORG", "PO" if partitioned else "PS"),
            recfm,
            merged.number("LRECL", 0 if recfm.startswith("U") else 80, card),
            merged.number("BLKSIZE", 0, card),
        )
    except BadFormat as error:
        _refuse(f"IEFC642I {error}", card)


def _directory(given: Operands) -> bool:
    parts = inner(given.keyword.get("SPACE", ""))
    return len(parts) > 1 and len(inner(parts[1])) > 2


def _space(value: str, card: int) -> Space:
    parts = inner(value, card)
    amounts = inner(parts[1], card) if len(parts) > 1 else []
    if not amounts or not all(part.isdigit() or not part for part in amounts):
        _refuse(f"IEFC642I INVALID VALUE {value} IN THE SPACE FIELD", card)
    numbers = [int(part or 0) for part in amounts]
    return asked(unquoted(parts[0]), numbers[0], numbers[1] if len(numbers) > 1 else 0, block=27998)


def _refuse(message: str, card: int) -> NoReturn:
    raise JclError(message, card)
