"""Any result as blocks, from its fields alone: single values as facts, lists of structs as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mlship.cli.blocks import Block, Facts, Line, Table


def blocks(result: msgspec.Struct) -> Iterator[Block]:
    """Facts first, then a table for each list of structs."""
    facts: list[tuple[str, str]] = []
    tables: list[Table] = []
    _collect("", result, facts, tables)
    if facts:
        yield Facts(facts)
    yield from tables
    if not facts and not tables:
        yield Line("nothing")


def table(title: str, items: Sequence[msgspec.Struct]) -> Table:
    """Structs of one kind as rows; columns in which nothing is said are left out."""
    names = [field.name for field in msgspec.structs.fields(items[0])]
    values = [[getattr(item, name, None) for name in names] for item in items]
    kept = [at for at in range(len(names)) if any(_says(row[at]) for row in values)]
    return Table(
        title,
        [words(names[at]) for at in kept],
        [[text(row[at]) for at in kept] for row in values],
        frozenset(to for to, at in enumerate(kept) if all(_number(row[at]) for row in values)),
    )


def words(name: str) -> str:
    """A field's name as words."""
    return re.sub(r"_+", " ", name).strip()


def text(value: Any) -> str:
    """One value in one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, msgspec.Struct):
        return ", ".join(
            f"{words(key)} {text(inner)}"
            for key, inner in msgspec.structs.asdict(value).items()
            if _says(inner)
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(text(item) for item in value) or "-"
    return str(value)


def _collect(prefix: str, struct: msgspec.Struct, facts: list[tuple[str, str]], tables: list[Table]) -> None:
    for name, value in msgspec.structs.asdict(struct).items():
        label = f"{prefix} {words(name)}".strip()
        if isinstance(value, msgspec.Struct):
            _collect(label, value, facts, tables)
        elif _structs(value):
            tables.append(table(label, value))
        elif _says(value):
            facts.append((label, text(value)))


def _structs(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(item, msgspec.Struct) for item in value)
    )


def _says(value: Any) -> bool:
    return value is not None and value != "" and value != () and value != [] and value != {}


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
