"""The help, word for word. `WRITE_EXPECTED=1 pytest tests/cli` writes the files anew: read the diff."""

from __future__ import annotations

import inspect
import os
import re
import shlex
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from mlship.cli.catalogue import MODULES, SECTIONS, function_of
from mlship.cli.group import adapter_line, adapters_with_verbs, load, parts_of

VERBS = [*MODULES, *adapters_with_verbs()]
GROUPS = {verb: parts_of(verb) for verb in VERBS if parts_of(verb)}
PARTS = [f"{verb} {name}" for verb, parts in GROUPS.items() for name in parts]
EXPECTED = Path(__file__).parent / "expected"
LINES = {verb: line for section in SECTIONS for verb, line in section.verbs.items()}


@pytest.mark.parametrize("verb", ["", *VERBS, *PARTS])
def test_help(verb: str, run) -> None:
    ended = run(*verb.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    file = EXPECTED / f"{verb.replace(' ', '-') or 'mlship'}.txt"
    if os.environ.get("WRITE_EXPECTED"):
        file.write_text(ended.out)
    assert ended.out == file.read_text()


def test_every_expected_file_is_of_a_verb() -> None:
    parts = {part.replace(" ", "-") for part in PARTS}
    assert {path.stem for path in EXPECTED.iterdir()} == {"mlship", *VERBS, *parts}


def test_no_words_show_the_help(run) -> None:
    ended = run()
    assert (ended.code, ended.out) == (0, (EXPECTED / "mlship.txt").read_text())


@pytest.mark.parametrize("verb", MODULES)
def test_the_line_in_the_overview_begins_the_help_of_the_verb(verb: str) -> None:
    function = getattr(import_module(MODULES[verb]), function_of(verb))
    assert inspect.getdoc(function).splitlines()[0] == LINES[verb]


@pytest.mark.parametrize("verb", [*VERBS, *PARTS])
def test_examples_are_right(verb: str, run) -> None:
    """Each example names its verb, and the command line understands its words."""
    name, *part = verb.split()
    text = (EXPECTED / f"{verb.replace(' ', '-')}.txt").read_text().partition("Examples:\n")[2]
    lines = [re.split(r"\s{3,}", line.strip())[0] for line in text.splitlines()]
    assert lines
    for line in lines:
        words = shlex.split(line.rpartition("| ")[2])
        assert words[: 2 + len(part)] == ["mlship", name, *part]
        if name in GROUPS:
            assert words[2] in GROUPS[name]
            load(name).commands[words[2]].make_context(words[2], words[3:]).close()
        else:
            load(name).make_context(name, words[2:]).close()


def test_every_verb_has_the_common_switches() -> None:
    for verb in {*VERBS, *PARTS} - {*GROUPS}:
        text = (EXPECTED / f"{verb.replace(' ', '-')}.txt").read_text()
        assert all(switch in text for switch in ("--json", "--quiet", "--debug", "--timeout SECONDS")), verb


@pytest.mark.parametrize("adapter", adapters_with_verbs())
def test_adapters_stand_in_the_overview(adapter: str) -> None:
    overview = " ".join((EXPECTED / "mlship.txt").read_text().split())
    assert f"{adapter} {adapter_line(adapter)}" in overview


def test_adapters_with_verbs_are_those_of_the_entry_points() -> None:
    assert adapters_with_verbs() == sorted(entry.name for entry in entry_points(group="mlship.verbs"))
