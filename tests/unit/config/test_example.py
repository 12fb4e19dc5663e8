"""The commented example is the documentation: everything that can be said is said there, and nothing else."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlship.config import parse_project
from mlship.config.load import NAMED, SINGLE
from mlship.config.sections import Section, TargetSection, Tolerance

TEXT = (files("mlship.config") / "example.toml").read_text(encoding="utf-8")
OTHER_WAYS = {"reduction": {"graph", "split", "fuse"}}  # of which one would exclude another
DOCUMENT: dict[str, Any] = tomllib.loads(TEXT)


def fields(shape: type[Section]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(shape)}


def test_it_is_right() -> None:
    assert parse_project(TEXT, root=Path("/project")).targets["prod"].settings == {"port": 8080}


def test_every_section_is_there() -> None:
    assert set(DOCUMENT) == {*SINGLE, *NAMED}


@pytest.mark.parametrize(("name", "shape"), SINGLE.items())
def test_every_key_of_a_section_is_there(name: str, shape: type[Section]) -> None:
    assert fields(shape) == {*DOCUMENT[name], *OTHER_WAYS.get(name, ())}


def test_what_excludes_something_else_is_shown_in_comments() -> None:
    for name, keys in OTHER_WAYS.items():
        section = TEXT.partition(f"\n[{name}]\n")[2].partition("\n[")[0]
        shown = tomllib.loads("\n".join(re.findall(r"^# (\w+ = .*)$", section, re.MULTILINE)))
        assert set(shown) == keys
        msgspec.convert(shown, SINGLE[name])


@pytest.mark.parametrize(("name", "shape"), NAMED.items())
def test_every_key_of_a_named_section_is_there(name: str, shape: type[Section]) -> None:
    shown = {key for entry in DOCUMENT[name].values() for key in entry}
    assert fields(shape) - {"settings"} <= shown
    assert shown <= fields(shape) or shape is TargetSection


def test_a_tolerance_is_shown_whole() -> None:
    assert set(DOCUMENT["model"]["tolerance"]) == fields(Tolerance)


def test_every_section_and_key_is_explained() -> None:
    lines = TEXT.splitlines()
    for at, line in enumerate(lines):
        first_of_its_kind = line.startswith("[") and not line.startswith("[schema.plan]")
        if first_of_its_kind:
            assert lines[at - 1].startswith("# "), line
