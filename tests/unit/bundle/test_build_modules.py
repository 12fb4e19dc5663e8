"""Which files of a project its reduction step needs: imported, imported late, included."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.bundle.children import modules, reducing
from mlship.bundle.children.failure import Failure

FILES = {
    "steps/__init__.py": "",
    "steps/reduce.py": "from . import tables\nimport shared.units as units\ndef reduce(columns): ...\n",
    "steps/tables.py": "import json\nfrom pathlib import Path\n",
    "steps/late.py": "from steps import deep\n",
    "steps/deep.py": "",
    "shared/units.py": "def convert():\n    from steps.late import thing\n    import numpy\n",
    "unused.py": "raise RuntimeError('never imported')\n",
    "steps/data/limits.json": "{}",
    "notes.txt": "no code",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = tmp_path / "project"
    write(root, FILES)
    monkeypatch.syspath_prepend(str(root))
    before = set(sys.modules)
    yield root
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")) or name in ("steps", "shared"):
            del sys.modules[name]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def collected(root: Path, module: str = "steps.reduce", include: tuple[str, ...] = ()) -> list[str]:
    reduction = reducing.load(module, "reduce", str(root))
    return list(reducing.sources(reduction, list(include)))


def test_modules_are_followed_also_into_functions_that_did_not_run(project: Path) -> None:
    assert collected(project) == [
        "shared/units.py",
        "steps/__init__.py",
        "steps/deep.py",
        "steps/late.py",
        "steps/reduce.py",
        "steps/tables.py",
    ]


def test_included_files_lie_where_they_lay(project: Path) -> None:
    found = collected(project, include=("steps/data/*.json", "*.txt"))
    assert {"steps/data/limits.json", "notes.txt"} <= set(found)
    with pytest.raises(Failure, match=r"'\*\.csv', which matches no file"):
        collected(project, include=("*.csv",))


def test_a_folder_of_sources_falls_away(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        project, {"src/pack/step.py": "import pack.more\ndef reduce(c): return c\n", "src/pack/more.py": ""}
    )
    write(project, {"src/pack/table.json": "{}"})
    monkeypatch.syspath_prepend(str(project / "src"))
    found = collected(project, "pack.step", ("src/pack/*.json",))
    assert found == ["pack/more.py", "pack/step.py", "pack/table.json"]


def test_packages_installed_beneath_the_project_are_not_the_projects(project: Path) -> None:
    write(
        project,
        {".venv/lib/python3/site-packages/foreign.py": "", "step.py": "import foreign\ndef reduce(c): ..."},
    )
    sys.path.insert(0, str(project / ".venv/lib/python3/site-packages"))
    try:
        assert collected(project, "step") == ["step.py"]
    finally:
        sys.path.pop(0)
        sys.modules.pop("foreign")


@pytest.mark.parametrize(
    ("module", "function", "said"),
    [
        ("nosuch", "reduce", "the project has no module 'nosuch'"),
        ("steps.nosuch", "reduce", "cannot be imported"),
        ("unused", "reduce", "never imported"),
        ("json", "dumps", "'json' is not the project's"),
        ("sys", "exit", "built in"),
        ("steps.reduce", "nosuch", "has no function 'nosuch'"),
        ("steps.reduce", "units", "has no function 'units'"),
    ],
)
def test_a_step_that_cannot_be_had_is_explained(project: Path, module: str, function: str, said: str) -> None:
    with pytest.raises(Failure) as caught:
        reducing.load(module, function, str(project))
    assert said in caught.value.what + caught.value.cause


def test_compiled_modules_are_refused(project: Path) -> None:
    with pytest.raises(Failure, match=r"fast\.cpython-311\.so, which is compiled"):
        modules._place("fast", project / "fast.cpython-311.so")
