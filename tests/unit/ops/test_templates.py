"""Templates are found in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship import templates
from mlship.errors import UsageError


def test_the_quickstart_is_whole() -> None:
    assert [name for name, _ in templates.files("quickstart")] == [
        ".gitignore",
        "README.md",
        "mlship.toml",
        "reduction.py",
        "train.py",
    ]


def test_the_packaged_copy_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("packaged", "checkout"):
        (tmp_path / root / "quickstart").mkdir(parents=True)
        (tmp_path / root / "quickstart" / "mlship.toml").write_text(root)
    monkeypatch.setattr(templates, "_PACKAGED", tmp_path / "packaged")
    monkeypatch.setattr(templates, "_CHECKOUT", tmp_path / "checkout")
    assert templates.files("quickstart") == [("mlship.toml", b"packaged")]
    monkeypatch.setattr(templates, "_PACKAGED", tmp_path / "nowhere")
    assert templates.files("quickstart") == [("mlship.toml", b"checkout")]


def test_leftovers_of_a_run_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_CHECKOUT", tmp_path)
    for name in ("mlship.toml", "__pycache__/train.pyc", ".mlship/built.json", "inner/step.py"):
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).touch()
    assert [name for name, _ in templates.files("mine")] == ["inner/step.py", "mlship.toml"]


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(UsageError, match="no template 'nope'"):
        templates.folder("nope")
