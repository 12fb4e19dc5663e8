"""Platforms that do not run here: tried where a command is named for them, and held to the golden answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlship.bundle.lock import LockedGolden
from mlship.bundle.packages import emulated
from mlship.bundle.rows.record import Recorded
from mlship.config import parse_project
from mlship.errors import BuildError
from mlship_runtime.platforms import this_platform

OTHER = {"amd64": "arm64", "arm64": "amd64"}[this_platform().processor]
NAME = f"linux-{OTHER}-cp311-gnu2.28"


def answered(value: float) -> dict[str, Any]:
    return {"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [1.0, value]}


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`tried(value)`: the other platform answers `value` for the second row where 2.0 is golden; what was run
    and what was said."""

    def run(value: float, command: str = "emulator -L /srv python3") -> SimpleNamespace:
        found = SimpleNamespace(layers=[], python=None, rows=None, said=[])

        def try_bundle(content, layers, platform, folder, *, python, rows):
            found.layers, found.python, found.rows = [layer.platform for layer in layers], python, rows
            return Recorded([answered(value)], [])

        monkeypatch.setattr(emulated, "try_bundle", try_bundle)
        monkeypatch.setenv(f"MLSHIP_PYTHON_LINUX_{OTHER}".upper(), command)
        project = parse_project('[project]\nname = "a"\n[model]\nsource = "m.onnx"\n', root=tmp_path)
        layers: Any = [SimpleNamespace(platform=platform) for platform in ("", "any", NAME, "another")]
        runtime: Any = SimpleNamespace(platforms={NAME: ()})
        golden = LockedGolden(inputs={}, rows=(3, 5), outputs=(answered(2.0),))
        content: Any = SimpleNamespace(project=project)
        progress: Any = SimpleNamespace(say=found.said.append)
        emulated.try_elsewhere(content, layers, runtime, golden, tmp_path, progress=progress)
        return found

    return run


def test_its_layers_answer_the_golden_rows(tried) -> None:
    found = tried(2.0000001)
    assert found.layers == ["", "any", NAME]
    assert found.python == ["emulator", "-L", "/srv", "python3"]
    assert found.rows == (3, 5)
    assert found.said == [f"{NAME} gives the golden answers, as emulator runs it"]


def test_other_answers_end_the_build(tried) -> None:
    with pytest.raises(
        BuildError, match=f"{NAME} answers 1 golden values otherwise than this machine"
    ) as caught:
        tried(2.5)
    assert caught.value.cause == "row 1, y: expected 2.0, got 2.5"


def test_without_a_command_it_is_said(tried) -> None:
    found = tried(2.5, command="")
    assert found.python is None
    assert "was not tried" in found.said[0]
