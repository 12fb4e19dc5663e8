"""A copybook for tensors of a schema, in reference format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput

_DIGITS = {
    "INT8": 3,
    "INT16": 5,
    "INT32": 10,
    "INT64": 18,
    "UINT8": 3,
    "UINT16": 5,
    "UINT32": 10,
    "UINT64": 18,
}
_TEXT, _STEP = 32, 16  # bytes of a text of which no longer one was seen
# Words of the language that are likely names of columns; they get a prefix, which `alike` takes off again.
_WORDS = """
ACCEPT ADD ADDRESS ALL AND ANY ARE AREA AT AUTHOR BASIS BEFORE BLANK BLOCK BY CALL CANCEL CD CF CH
CHARACTER CLASS CLOCK-UNITS CLOSE COBOL CODE COLUMN COMMA COMMON COMP CONTENT CONTINUE CONTROL COPY
COUNT CURRENCY DATA DATE DATE-WRITTEN DAY DEBUG-ITEM DELETE DEPENDING DETAIL DISPLAY DIVIDE DIVISION
DOWN DUPLICATES ELSE END ENTRY ENVIRONMENT EQUAL ERROR EVERY EXCEPTION EXIT EXTERNAL FALSE FILE
FILLER FINAL FIRST FOOTING FOR FROM FUNCTION GENERATE GLOBAL GO GREATER GROUP HEADING HIGH-VALUE ID
IF IN INDEX INDEXED INITIAL INPUT INSPECT INTO INVALID IS KEY LABEL LAST LEADING LEFT LENGTH LESS
LIMIT LINE LINKAGE LOCK MEMORY MERGE MESSAGE METHOD MODE MODULES MOVE MULTIPLE NATIVE NEGATIVE NEXT
NO NOT NUMBER NUMERIC OBJECT OCCURS OF OFF ON OPEN OPTIONAL OR ORDER OTHER OUTPUT OVERFLOW PAGE
PERFORM PICTURE PLUS POINTER POSITION POSITIVE PRINTING PROCEDURE PROGRAM PURGE QUEUE QUOTE RANDOM
RANGE READ RECEIVE RECORD RECORDS REDEFINES REEL REFERENCE RELATIVE RELEASE REMAINDER REMOVAL
REPLACE REPORT RESERVE RESET RETURN REVERSED REWIND REWRITE RIGHT ROUNDED RUN SAME SEARCH SECTION
SECURITY SEGMENT SELECT SELF SEND SENTENCE SEPARATE SEQUENCE SET SIGN SIZE SORT SOURCE SPACE SPACES
SPECIAL-NAMES STANDARD START STATUS STOP STRING SUBTRACT SUM SYMBOLIC SYNC TABLE TALLY TAPE TERMINAL
TERMINATE TEST TEXT THAN THEN THROUGH TIME TIMES TITLE TO TOP TRACE TRAILING TRUE TYPE UNIT UNTIL UP
USAGE USE USING VALUE VALUES VARYING WHEN WITH WORDS WRITE ZERO ZEROS
"""
_RESERVED = frozenset(_WORDS.split())
_PREFIX = "ML-"
_LONGEST_NAME, _WIDTH = 30, 65
_SHARE = "S9(1)V9(6) COMP-3"  # what stands for a class is a probability
_FLOAT = "S9(9)V9(6) COMP-3"


def copybook_of(record: str, tensors: Sequence[TensorSpec], kept: Sequence[tuple[str, str]] = ()) -> str:
    """The record `record` with the fields `kept` (name, picture and usage) and then one for each tensor,
    tables for those of several columns. Raises BadInput where a size is open."""
    taken: set[str] = set()
    lines = [f"01  {_named(record, taken)}."]
    for name, form in kept:
        lines.append(f"    05  {_named(name, taken)}\n            PIC {form}.")
    for spec in tensors:
        lines += _item(spec, taken)
    return "".join(f"       {part}\n" for line in lines for part in _wrapped(line))


def picture_for(spec: TensorSpec) -> str:
    """The picture and usage of one value of `spec`."""
    if spec.datatype == "BYTES":
        longest = max((len(str(value)) for value in spec.seen.values), default=0) if spec.seen else 0
        return f"X({max(_TEXT, -(-longest // _STEP) * _STEP)})"
    if spec.datatype == "BOOL":
        return "9"
    if spec.datatype in _DIGITS:
        sign = "" if spec.datatype.startswith("U") else "S"
        return f"{sign}9({_DIGITS[spec.datatype]}) COMP-3"
    return _SHARE if spec.classes else _FLOAT


def cobol_name(name: str) -> str:
    """The nearest name that COBOL allows: letters, digits and hyphens, 30 at most, no reserved word."""
    found = re.sub("[^A-Z0-9]+", "-", name.upper()).strip("-")[:_LONGEST_NAME].strip("-")
    if found in _RESERVED:
        return _PREFIX + found
    return found if re.search("[A-Z]", found) else f"F-{found}".strip("-")


def alike(name: str) -> str:
    """What two names have in common that differ only as COBOL's must from a schema's."""
    found = re.sub("[^A-Z0-9]+", "-", name.upper()).strip("-")
    bare = found.removeprefix(_PREFIX)
    word = re.sub(r"(-\d+)+$", "", bare)  # an element of a table has its index behind it
    return (bare if word in _RESERVED else found).lower().replace("-", "_")


def _item(spec: TensorSpec, taken: set[str]) -> Iterator[str]:
    sizes = [size for size in spec.shape[1:] if size != 1]
    if any(size < 1 for size in spec.shape[1:]):
        what, cause = f"{spec.name} has no fixed number of columns", f"its shape is {list(spec.shape)}"
        raise BadInput(what, field=spec.name, cause=cause)
    level, margin = 5, "    "
    for size in sizes[:-1]:
        yield f"{margin}{level:02}  FILLER OCCURS {size} TIMES."
        level, margin = level + 5, margin + "    "
    times = f"\n{margin}        OCCURS {sizes[-1]} TIMES" if sizes else ""
    yield f"{margin}{level:02}  {_named(spec.name, taken)}{times}\n{margin}        PIC {picture_for(spec)}."


def _named(name: str, taken: set[str]) -> str:
    found = cobol_name(name)
    if found in taken:
        what = f"{name} would be called {found}, which is taken"
        raise BadInput(what, field=name, fix="Write the copybook by hand, and map its names")
    taken.add(found)
    return found


def _wrapped(line: str) -> Iterator[str]:
    """In one line where it fits columns 8 to 72."""
    joined = re.sub(r"\n +", " ", line)
    yield from [joined] if len(joined) < _WIDTH else line.split("\n")
