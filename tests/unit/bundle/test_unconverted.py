"""A model that is not converted: refused unless its names are listed and --allow-pickle was said."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import tomllib
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LogisticRegression
from skops import io as skops_io

from mlship.bundle.models.unconverted import Found, find
from mlship.config import parse_project
from mlship.errors import BuildError, ConfigError

MODEL = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
NAME = "sklearn.linear_model._logistic.LogisticRegression"


def found(
    root: Path, *, source: str = "model.joblib", allow: tuple[str, ...] = (), flag: bool = True
) -> Found:
    text = f'[project]\nname = "trial"\n[model]\nsource = "{source}"\nengine = "python"\n'
    text += f"allow_globals = {list(allow)}\n".replace("'", '"')
    return find(parse_project(text, root=root), allow_pickle=flag)


def test_what_is_listed_and_allowed_is_taken(tmp_path: Path) -> None:
    joblib.dump(MODEL, tmp_path / "model.joblib")
    taken = found(tmp_path, allow=(NAME, "steps.Other"))
    assert taken.serialization == "pickle"
    assert NAME in taken.names
    assert taken.data == (tmp_path / "model.joblib").read_bytes()
    skops_io.dump(MODEL, tmp_path / "model.skops")
    taken = found(
        tmp_path, source="model.skops"
    )  # what skops trusts by itself, it says in the project's Python
    assert taken.serialization == "skops"
    assert NAME in taken.names


@pytest.mark.parametrize("flag", [True, False])
def test_the_list_can_be_pasted(tmp_path: Path, flag: bool) -> None:
    joblib.dump(MODEL, tmp_path / "model.joblib")
    with pytest.raises(BuildError) as caught:
        found(tmp_path, flag=flag)
    assert caught.value.exit_code == 4
    said = re.search(r"allow_globals = \[.*?\]", str(caught.value))
    assert said is not None
    assert tomllib.loads(said[0]) == {"allow_globals": [NAME]}
    assert ("--allow-pickle" in str(caught.value)) is not flag
    assert found(tmp_path, allow=(NAME,)).names


@pytest.mark.parametrize("form", ["joblib", "skops"])
def test_the_flag_is_needed_even_if_all_is_listed(tmp_path: Path, form: str) -> None:
    joblib.dump(MODEL, tmp_path / "model.joblib")
    skops_io.dump(MODEL, tmp_path / "model.skops")
    with pytest.raises(BuildError, match=r"would travel as it is.* mlship build --allow-pickle"):
        found(tmp_path, source=f"model.{form}", allow=(NAME,), flag=False)


class Runs:
    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def test_what_runs_anything_is_never_allowed(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(BuildError, match=r"model\.joblib names posix\.system, which is never allowed"):
        found(tmp_path)
    with pytest.raises(
        ConfigError, match=r"mlship\.toml:6: model\.allow_globals names 'posix\.system': never"
    ):
        found(tmp_path, allow=("posix.system",))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(pickle.dumps(MODEL)), "is compressed"),
        (b'{"learner": {}}', "is a file of XGBoost"),
        (b"tree\nversion=v4\n", "is a file of LightGBM"),
        (b"PK\x03\x04", "is an archive that is not of skops"),
        (b"a text", "is no pickle that can be followed"),
        (b"", "is no pickle that can be followed"),
    ],
)
def test_what_is_no_pickle_of_an_estimator(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "model.joblib").write_bytes(data)
    with pytest.raises(BuildError, match=said):
        found(tmp_path)


def test_a_function_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.source is a function. With engine = \"python\""):
        found(tmp_path, source="model:load")
    with pytest.raises(BuildError, match=r"model\.joblib cannot be read"):
        found(tmp_path)
