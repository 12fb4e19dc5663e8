"""One table of mlship.toml -> one typed section. Complaints name file, line, key and the nearest key."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mlship.config.lines import KeyPath, line_of
from mlship.config.sections import Section
from mlship.errors import ConfigError

S = TypeVar("S", bound=Section)
_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_BACKTICKED = re.compile(r"`(\w+)(?: \| null)?`")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "object": "table",
          "array": "list", "null": "nothing"}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A file's name and the lines of its keys."""

    name: str
    lines: Mapping[KeyPath, int]

    def error(self, path: KeyPath, what: str, fix: str = "") -> ConfigError:
        return ConfigError(f"{self.name}:{line_of(self.lines, path)}: {what}", fix=fix)

    def table(self, path: KeyPath, data: Any) -> dict[str, Any]:
        """`data` if it is a table; raises ConfigError otherwise."""
        if not isinstance(data, dict):
            raise self.error(
                path, f"{'.'.join(path)} is not a table", f"Write [{'.'.join(path)}] above its keys"
            )
        return data


def section(source: Source, path: KeyPath, data: Any, shape: type[S], *, rest: str | None = None) -> S:
    """`data`, found at `path`, as a `shape`.

    With `rest`, keys that `shape` does not know are not wrong: they are collected in the field of that name.
    """
    table = source.table(path, data)
    if rest is not None:
        known = set(_keys(shape)) - {rest}
        table = {key: value for key, value in table.items() if key in known} | {
            rest: {key: value for key, value in table.items() if key not in known}
        }
    _refuse_unknown(source, path, table, shape)
    try:
        return msgspec.convert(table, shape)
    except msgspec.ValidationError as error:
        raise _explain(source, path, str(error), shape) from error


def unknown_key(
    source: Source, path: KeyPath, key: str, known: Iterable[str], *, kind: str = "key"
) -> ConfigError:
    """A ConfigError for `key` in the table at `path`, with the nearest of the `known` ones."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    inside = f" in [{'.'.join(path)}]" if path else ""
    fix = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(names)}"
    return source.error((*path, key), f"unknown {kind} {key}{inside}", fix)


def _refuse_unknown(source: Source, path: KeyPath, table: dict[str, Any], shape: type[Section]) -> None:
    fields = _keys(shape)
    for key, value in table.items():
        if key not in fields:
            raise unknown_key(source, path, key, fields)
        inner = _section_in(fields[key])
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(source, (*path, key), value, inner)


def _keys(shape: type[Section]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(shape)}


def _section_in(annotation: Any) -> type[Section] | None:
    for part in (annotation, *typing.get_args(annotation)):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


def _explain(source: Source, path: KeyPath, message: str, shape: type[Section]) -> ConfigError:
    """msgspec's message, e.g. "Expected `int`, got `str` - at `$.rows`", in the words of a TOML file."""
    match = _AT.match(message)
    what, inside = (match["what"], match["path"] or "") if match else (message, "")
    if missing := _MISSING.match(what):
        return source.error(path, f"[{'.'.join(path)}] has no {missing[1]}", f"Give it a {missing[1]}")
    key = tuple(part for part in inside.replace("[", ".[").split(".") if part)
    name = ".".join((*path, *key)).replace(".[", "[")
    annotation = _keys(shape).get(key[0]) if key else None
    if "matching regex" in what:
        return source.error((*path, *key), f"{name} must be written as {_form(annotation)}")
    plain = _BACKTICKED.sub(lambda word: _WORDS.get(word[1], word[1]), what)
    plain = plain[:1].lower() + plain[1:]
    fix = _choices(annotation) if "enum value" in plain else ""
    return source.error((*path, *key), f"{name}: {plain}", fix)


def _form(annotation: Any) -> str:
    """The title of a text type that has a pattern, e.g. module:function."""
    for part in (annotation, *typing.get_args(annotation)):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.title:
                return f'"{meta.title}"'
    return "something else"


def _choices(annotation: Any) -> str:
    words: list[str] = []
    pending = [annotation]
    while pending:
        part = pending.pop(0)
        if typing.get_origin(part) is typing.Literal:
            words += [str(word) for word in typing.get_args(part)]
        else:
            pending += typing.get_args(part)
    return f"One of: {', '.join(words)}" if words else ""
