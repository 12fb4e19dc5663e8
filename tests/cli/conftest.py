"""Runs mlship inside this process (fast) or as a process of its own (streams, signals, terminals)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlship.cli.main import main
from mlship.store import asking

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))


@dataclass
class Ended:
    """How a run ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


Run = Callable[..., Ended]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("list", "--json")` in an empty folder, at 80 columns, without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def started(*words: str) -> Ended:
        capfd.readouterr()
        code = main(list(words))
        said = capfd.readouterr()
        return Ended(code, said.out, said.err)

    return started


class _Hasty:
    """Chance, where mlship asks how long it waits before it tries again: hardly."""

    def uniform(self, _least: float, _most: float) -> float:
        return 0.01


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that fails is asked as often as ever, but soon; unit/store/test_asking.py knows how long."""
    monkeypatch.setattr(asking, "_CHANCE", _Hasty())


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The program as one would start it, for subprocess."""
    return [sys.executable, "-m", "mlship.cli.main"]
