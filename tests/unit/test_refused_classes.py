"""The table of what is refused (docs/explanation/trust.md) names code and tests that are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEAST_CLASSES, LEAST_CASES = 20, 120
Row = tuple[str, str, list[str]]  # class, file that refuses, patterns of tests (* is anything)


def rows() -> list[Row]:
    text = (ROOT / "docs" / "explanation" / "trust.md").read_text(encoding="utf-8")
    table = text[text.index("| class |") :].splitlines()[2:]
    cells = [line.strip("|").split("|") for line in table if line.startswith("|")]
    return [
        (name.strip(), code.strip("` "), re.findall(r"`([^`]+)`", tests)) for name, _, code, tests in cells
    ]


@pytest.fixture(scope="module")
def cases() -> list[str]:
    """The ids of all tests in the files that the table names."""
    files = sorted(
        {"tests/unit/" + pattern.partition("::")[0] for _, _, patterns in rows() for pattern in patterns}
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def of(pattern: str, cases: list[str]) -> set[str]:
    form = re.compile(".*/" + re.escape(pattern.removeprefix("../")).replace(r"\*", ".*"))
    return {case for case in cases if form.fullmatch("/" + case)}


def test_there_are_enough(cases: list[str]) -> None:
    found = [set().union(*(of(pattern, cases) for pattern in patterns)) for _, _, patterns in rows()]
    assert len(found) >= LEAST_CLASSES
    assert sum(map(len, found)) == len(set().union(*found)) >= LEAST_CASES


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_every_class_has_code_and_cases(row: Row, cases: list[str]) -> None:
    _, code, patterns = row
    assert (ROOT / "src" / code).is_file()
    assert patterns
    for pattern in patterns:
        assert of(pattern, cases), pattern
