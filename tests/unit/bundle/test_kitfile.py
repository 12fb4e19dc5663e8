"""Kitfiles are read as plain text, and what they name must lie in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.bundle.exchange.kitfile import read_kit
from mlship.errors import BuildError

TEXT = """\
manifestVersion: v1.0.0

package:
  name: Flight Satisfaction
  version: 1.2.3
  description: >-
    Updated model to analyze flight trait
    and passenger data
  authors: [Jozu, "A. Other"]
  license: Apache-2.0

code:
  - path: src
    description: Jupyter notebooks   # and more
    license: Apache-2.0

model:
  name: satisfaction
  path: ./models/model.joblib
  framework: Scikit-learn
  version: 1.0
  description: |
    A model: with a colon,
    # and what is no comment
  parts:
    - path: ./models/adapter.bin
      type: LoRA weights
  parameters:
    depth: 3

datasets:
- name: training data
  path: data/train.csv
- name: raw
  path: data/raw
- name: not unpacked
  path: data/gone.csv

docs:
  - path: README.md
prompts:
  - path: prompts/ask.txt
skills:
  - path: x
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("src", "models", "data/raw"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("models/model.joblib", "data/train.csv", "README.md"):
        (tmp_path / name).write_text("x")
    return tmp_path


def write(folder: Path, text: str, name: str = "Kitfile") -> Path:
    (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("name", ["Kitfile", "kitfile", ".kitfile"])
def test_all_that_it_names(folder: Path, name: str) -> None:
    kit = read_kit(write(folder, TEXT, name))
    assert (kit.name, kit.version) == ("Flight Satisfaction", "1.2.3")
    assert kit.model == folder / "models" / "model.joblib"
    assert kit.rows == (folder / "data" / "train.csv",)
    assert kit.left_out == (
        "model part ./models/adapter.bin",
        "code src",
        "datasets data/raw",
        "datasets data/gone.csv",
        "docs README.md",
        "prompts prompts/ask.txt",
        "skills",
    )


def test_the_smallest_and_the_older_form(folder: Path) -> None:
    kit = read_kit(write(folder, "manifestVersion: 1.0\nmodels:\n  - path: models/model.joblib\n"))
    assert (kit.name, kit.version, kit.rows, kit.left_out) == ("", "", (), ())


@pytest.mark.parametrize(
    "place", ["../model", "/etc/passwd", "models/../../model", "models\\model.joblib", "link", "", "~"]
)
@pytest.mark.parametrize("kind", ["model", "datasets", "code"])
def test_what_lies_outside_is_refused(folder: Path, place: str, kind: str) -> None:
    (folder.parent / "model").write_text("a secret")
    (folder / "link").symlink_to("../model")
    model = "model:\n  path: models/model.joblib\n"
    entry = f"model:\n  path: {place}\n" if kind == "model" else f"{model}{kind}:\n- path: {place}\n"
    with pytest.raises(BuildError, match=f"Kitfile: {kind} names .*, which is not in its folder"):
        read_kit(write(folder, f"manifestVersion: 1.0\n{entry}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b\n", "has no manifestVersion"),
        ("- a\n", "has no manifestVersion"),
        ("manifestVersion: 1.0\ncode: []\n", "names 0 models and not one"),
        ("manifestVersion: 1.0\nmodels:\n- path: a\n- path: b\n", "names 2 models and not one"),
        ("manifestVersion: 1.0\nmodel: a\n", "model is not a mapping"),
        ("manifestVersion: 1.0\nmodel:\n  path: a\ndatasets: b\n", "datasets is not a list of mappings"),
        ("manifestVersion: 1.0\nmodel:\n  path: models/gone\n", "'models/gone', which is not there"),
        ("manifestVersion: 1.0\nmodel: !!python/object:os.system\n", "cannot be read: line 2"),
        ("manifestVersion: 1.0\nmodel: &a\n  path: *a\n", "cannot be read: line 2"),
    ],
)
def test_what_is_no_kitfile(folder: Path, text: str, said: str) -> None:
    with pytest.raises(BuildError) as caught:
        read_kit(write(folder, text))
    assert said in str(caught.value)
