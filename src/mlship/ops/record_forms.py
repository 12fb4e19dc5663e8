"""Copybooks and how files are written: what the command says, else mlship.toml, else the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mlship.config.sections import RecordsSection
from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship_runtime.errors import BadInput
from mlship_runtime.records.form import RecordForm, form_of
from mlship_runtime.records.schema import Schema

_LARGEST = 1 << 20  # bytes of a copybook


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a command says of its files of records; None where it says nothing. `names` are FIELD=COLUMN."""

    record: str = ""
    code_page: str | None = None
    recfm: str | None = None
    lrecl: int = 0
    names: tuple[str, ...] = ()


NOTHING_SAID = Said()


def record_form(ctx: Context, copybook: str, said: Said, others: tuple[str, ...] = ()) -> RecordForm:
    """The form of records of `copybook` (a file), checked as far as that goes. A name that is mapped may
    belong to one of the copybooks `others` instead. Raises UsageError."""
    section = ctx.project.records if ctx.project else RecordsSection()
    settings: dict[str, Any] = msgspec.structs.asdict(section)
    settings.update({name: value for name in ("code_page", "recfm") if (value := getattr(said, name))})
    own = _pairs(said.names)
    try:
        bare = {**settings, "name": copybook, "record": said.record, "lrecl": said.lrecl, "names": {}}
        form = form_of({**bare, "copybook": _read(copybook)})
        there = {name for field in form.layout().fields for name in (field.name, field.column.upper())}
        elsewhere = {
            word for other in others if other for word in _read(other).upper().replace(".", " ").split()
        }
        for name in own:
            if name not in there and name.partition("(")[0] not in elsewhere:
                raise UsageError(f"{copybook} has no field {name}, which is mapped")
        names = {name: column for name, column in {**section.names, **own}.items() if name in there}
        form = form_of({**form.document(), "names": names})
        Schema(form)
    except BadInput as fault:
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix) from fault
    return form


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for word in words:
        name, mark, column = word.partition("=")
        if not (name and mark and column):
            raise UsageError(f"{word!r} maps nothing", fix="Write FIELD=COLUMN, e.g. CUST-AGE=age")
        found[name.strip().upper()] = column.strip()
    return found


def _read(path: str) -> str:
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise UsageError(f"{path} is longer than {_LARGEST} bytes, so it is no copybook")
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"the copybook {path} cannot be read", cause=error.strerror or "") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # comments of another age
