"""Programs for GnuCOBOL that read and write records as a program on z/OS would: the real consumer."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from mlship_runtime.records.exact import with_point
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.layout import WHOLE, Field
from mlship_runtime.records.schema import Schema

# What texts, digits and signs consist of here. CODE-SET of GnuCOBOL 3.1 does nothing, and that of 3.2 changes
# packed numbers, too: a program converts its texts and zoned numbers by itself.
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,-+/{}()"
_STANDARD = ("-x", "-free", "-std=ibm", "-fsign=ebcdic")


def compiled(source: str, folder: Path) -> Path:
    """The program, which is `PROGRAM-ID. P`."""
    file, program = folder / "p.cob", folder / "p"
    file.write_text(source)
    ended = subprocess.run(
        ["cobc", *_STANDARD, "-o", str(program), str(file)], capture_output=True, text=True, cwd=folder
    )
    assert ended.returncode == 0, ended.stderr + source
    return program


def run(program: Path, files: Mapping[str, Path]) -> tuple[int, list[str]]:
    """Its return code, and the lines that it displays; `files` by the names in its ASSIGN clauses."""
    given = {f"DD_{name}": str(path) for name, path in files.items()}
    ended = subprocess.run([str(program)], capture_output=True, text=True, env=given, errors="replace")
    assert not ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.splitlines()


def reader(form: RecordForm) -> str:
    """Displays each field of each record."""
    schema = Schema(form)
    shown = "\n".join(_display(column, field) for column, field in _fields(schema))
    return f"""{_head(schema, "INFILE")}
PROCEDURE DIVISION.
    OPEN INPUT F
    PERFORM UNTIL AT-END = 1
      READ F INTO RAW AT END MOVE 1 TO AT-END NOT AT END PERFORM SHOW END-READ
    END-PERFORM
    CLOSE F
    GOBACK.
SHOW.
{_converted(schema, "WS-E", "WS-A")}
    DISPLAY "record"
{shown}
    .
"""


def writer(form: RecordForm, rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes `rows`."""
    schema = Schema(form)
    parts = []
    for row in rows:
        parts.append("    MOVE SPACES TO RAW")
        parts += [f"    MOVE {_literal(row[column])} TO {field.name}" for column, field in _fields(schema)]
        parts.append(f"{_converted(schema, 'WS-A', 'WS-E')}\n    WRITE F-REC FROM RAW")
    moves = "\n".join(parts)
    return f"""{_head(schema, "OUTFILE")}
PROCEDURE DIVISION.
    OPEN OUTPUT F
{moves}
    CLOSE F
    GOBACK.
"""


def values(lines: Sequence[str], schema: Schema) -> list[dict[str, Any]]:
    """What `reader` displayed."""
    found: list[dict[str, Any]] = []
    for line in lines:
        column, _, text = line.partition("=")
        if line == "record":
            found.append({})
        else:
            field = schema.columns[column]
            found[-1][column] = (
                with_point(int(text), field.scale) if field.kind in WHOLE else text.rstrip(" ")
            )
    return found


def tables(form: RecordForm) -> str:
    """WS-E and WS-A: the bytes of the code page and of ASCII of the same characters."""
    known = form.page.bytes_of()
    # A sign is in the nibbles, whatever characters these bytes are in the code page.
    signs = dict(zip("{ABCDEFGHI", range(0xC0, 0xCA), strict=True)) | dict(
        zip("}JKLMNOPQR", range(0xD0, 0xDA), strict=True)
    )
    there = bytes(signs.get(one, known.get(one, 0x40)) for one in CHARACTERS)
    return f"""01 WS-E PIC X({len(there)}) VALUE X'{there.hex()}'.
01 WS-A PIC X({len(there)}) VALUE X'{CHARACTERS.encode().hex()}'."""


def _head(schema: Schema, name: str) -> str:
    return f"""IDENTIFICATION DIVISION.
PROGRAM-ID. P.
ENVIRONMENT DIVISION.
INPUT-OUTPUT SECTION.
FILE-CONTROL.
    SELECT F ASSIGN TO {name} ORGANIZATION SEQUENTIAL.
DATA DIVISION.
FILE SECTION.
FD F RECORDING MODE F.
01 F-REC PIC X({schema.length}).
WORKING-STORAGE SECTION.
01 AT-END PIC 9 VALUE 0.
{tables(schema.form)}
{_numbers(schema)}
{schema.form.copybook}
01 RAW REDEFINES {schema.layout.record} PIC X({schema.length}).
"""


def _display(column: str, field: Field) -> str:
    """A number in a form that shows all digits, without the point, and the sign first."""
    if field.kind not in WHOLE:
        return f'    DISPLAY "{column}=" {field.name}'
    return f'    MOVE {field.name} TO W-{field.scale}\n    DISPLAY "{column}=" W-{field.scale}'


def _numbers(schema: Schema) -> str:
    scales = sorted({field.scale for _, field in _fields(schema) if field.kind in WHOLE})
    parts = [
        (scale, f"9({18 - scale})" if scale < 18 else "", f"V9({scale})" if scale else "") for scale in scales
    ]
    return "\n".join(
        f"01 W-{scale} PIC S{whole}{point} SIGN LEADING SEPARATE." for scale, whole, point in parts
    )


def _fields(schema: Schema) -> list[tuple[str, Field]]:
    return [(column, schema.columns[column]) for column in schema.own_columns]


def _converted(schema: Schema, old: str, new: str) -> str:
    parts = [field for _, field in _fields(schema) if field.kind in ("text", "zoned")]
    words = [f"    INSPECT RAW({x.offset + 1}:{x.length}) CONVERTING {old} TO {new}" for x in parts]
    return "\n".join(words) or "    CONTINUE"


def _literal(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f'"{value}"' if value else "SPACES"
