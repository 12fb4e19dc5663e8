"""What a model that stays as it is needs, found in the project's Python."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from skops import io as skops_io

from mlship.bundle.children import left
from mlship.bundle.children.failure import Failure


@pytest.fixture
def file(tmp_path: Path) -> Path:
    skops_io.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "model.skops")
    return tmp_path / "model.skops"


@pytest.mark.parametrize(
    ("version", "fine"), [("0.12.0", False), ("0.9", False), ("0.13.0", True), ("1.0rc1", True)]
)
def test_old_versions_of_skops_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, version: str, fine: bool
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: version)
    if fine:
        assert left._untrusted(file) == []
        return
    with pytest.raises(Failure, match=rf"the project's Python has skops {version}"):
        left._untrusted(file)


def test_without_skops(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(Failure, match=r"has no skops, which model\.skops needs"):
        left._untrusted(file)


def test_packages_are_those_that_have_the_modules() -> None:
    found = left._packages({"sklearn", "numpy", "collections", "xgboost"})
    wanted = {"scikit-learn": "sklearn", "numpy": "numpy", "xgboost-cpu": "xgboost"}
    assert found == sorted(f"{name}=={__import__(module).__version__}" for name, module in wanted.items())
    with pytest.raises(Failure, match="needs the module 'no_such_module', which is of no installed package"):
        left._packages({"no_such_module"})
