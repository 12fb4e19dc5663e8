"""Starting a project: the template, and a mlship.toml for a model of one's own."""

from __future__ import annotations

import pickle
import sys
import textwrap
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest

from mlship.config import check_files, load_project
from mlship.errors import ConfigError, MlshipError, UsageError
from mlship.ops.init import init, init_for_model, project_name
from mlship.ops.init_config import config_text
from mlship.ops.init_model import Column, Seen

MODULE = """
class Model:
    def __init__(self, **facts):
        self.__dict__.update(facts)

    def predict(self, rows):
        return rows
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # Without numpy and joblib, whose import would be most of the time of these tests.
    monkeypatch.setenv("MLSHIP_PYTHON", getattr(sys, "_base_executable", sys.executable))
    return tmp_path


def write_model(folder: Path, **facts: object) -> Path:
    """A pickle of a model that has `facts` as attributes; its class is in a module beside it."""
    module = types.ModuleType("their_models")
    exec(MODULE, vars(module))
    (folder / "their_models.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "their_models", module)
        (folder / "model.pkl").write_bytes(pickle.dumps(module.Model(**facts)))
    return folder / "model.pkl"


def write_rows(folder: Path, text: str) -> Path:
    (folder / "rows.csv").write_text(textwrap.dedent(text).lstrip())
    return folder / "rows.csv"


ROWS = """
    age,plan,minutes,left
    41,pro,1.5,0
    30,free,,1
    25,free,3.25,0
"""


def test_the_quickstart_is_copied_under_the_folders_name(here: Path) -> None:
    started = init(Path("My Churn"))
    assert load_project(here / "My Churn").project.name == "my-churn"
    assert started.next[0] == "cd 'My Churn'"
    assert (here / "My Churn" / "train.py").is_file()


def test_nothing_is_overwritten(here: Path) -> None:
    (here / "train.py").write_text("mine")
    with pytest.raises(UsageError, match=r"train\.py is already in"):
        init(Path())
    assert [path.name for path in here.iterdir()] == ["train.py"]
    assert (here / "train.py").read_text() == "mine"


def test_a_project_that_is_there_stays(here: Path) -> None:
    init(Path("p"))
    for folder in (Path("p"), Path("p") / "mlship.toml", Path("p/train.py/inner")):
        with pytest.raises(UsageError, match=r"already has|is not a folder"):
            init(folder)
    (here / "q").mkdir()
    (here / "q" / "train.py").symlink_to(here / "nowhere")
    with pytest.raises(UsageError, match=r"train\.py is already in q"):
        init(Path("q"))
    assert [path.name for path in (here / "q").iterdir()] == ["train.py"]


def test_what_could_not_be_written_whole_is_not_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine").write_text("mine")
    opened = Path.open

    def full(path: Path, mode: str = "r", *words: object) -> object:
        if path.name == "train.py" and mode == "xb":
            raise OSError(28, "No space left on device")
        return opened(path, mode, *words)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        init(Path())
    assert [path.name for path in here.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("folder", "step"), [("a b'c", """cd 'a b'"'"'c'"""), ("-x", "cd ./-x"), ("ok", "cd ok")]
)
def test_the_next_step_can_be_pasted(folder: str, step: str, here: Path) -> None:
    assert init(Path(folder)).next[0] == step


def test_a_model_with_names_chooses_its_columns(here: Path) -> None:
    model = write_model(here, feature_names_in_=["minutes", "age"], n_features_in_=2, classes_=[0, 1])
    started = init_for_model(Path("p"), model=model, examples=write_rows(here, ROWS))
    assert started.seen is not None
    assert started.seen.classes == ("0", "1")
    assert started.seen.left_out == ("plan", "left")
    project = load_project(here / "p")
    assert project.golden.columns == ("minutes", "age")
    assert project.golden.rows == 3
    assert project.targets["local"].type == "local"
    check_files(project)
    assert (here / "p" / ".gitignore").read_text() == ".mlship/\n"


def test_what_was_seen_is_in_the_comments(here: Path) -> None:
    model = write_model(here, feature_names_in_=["age", "plan", "minutes"], n_features_in_=3, classes_=[0, 1])
    init_for_model(Path(), model=model, examples=write_rows(here, ROWS))
    text = (here / "mlship.toml").read_text()
    assert "# It answers with one of 0, 1." in text
    assert '"age",     # whole numbers 25 to 41\n' in text
    assert '"plan",    # free, pro\n' in text
    assert '"minutes", # numbers 1.5 to 3.25, some missing\n' in text
    assert "# The model does not read: left." in text


@pytest.mark.parametrize(("name", "key"), [("age", "age"), ("age in years", '"age in years"')])
def test_how_whole_numbers_take_fractions_is_in_the_comments(here: Path, name: str, key: str) -> None:
    model = write_model(here, feature_names_in_=[name], n_features_in_=1)
    init_for_model(Path(), model=model, examples=write_rows(here, f"{name}\n25\n41\n"))
    text = (here / "mlship.toml").read_text()
    said = f'will be refused. If a column may hold some:\n# [schema.{key}]\n# type = "FP64"\n'
    assert said in text
    (here / "mlship.toml").write_text(text.replace("# [schema.", "[schema.").replace("# type =", "type ="))
    project = load_project(here)
    assert project.schema[name].type == "FP64"
    assert project.golden.rows == 2
    assert project.targets["local"].type == "local"


def test_nothing_is_said_of_fractions_where_no_column_is_whole(here: Path) -> None:
    model = write_model(here, feature_names_in_=["load"], n_features_in_=1)
    init_for_model(Path(), model=model, examples=write_rows(here, "load\n2.5\n4\n"))
    assert "fraction" not in (here / "mlship.toml").read_text()


@pytest.mark.parametrize(
    ("header", "classes", "label"),
    [
        ("a,target,b", [], "target"),
        ("a,Label,b", ["7"], "Label"),
        ("a,kind,b", ["1", "2"], "kind"),
        ("a,b,c", [], "c"),
    ],
)
def test_one_column_too_many_is_the_label(here: Path, header: str, classes: list[str], label: str) -> None:
    model = write_model(here, n_features_in_=2, classes_=classes)
    rows = write_rows(here, f"{header}\n0.5,1,3\n0.25,2,4\n")
    started = init_for_model(Path(), model=model, examples=rows)
    assert started.seen is not None
    assert started.seen.left_out == (label,)


def test_a_model_that_does_not_tell_reads_all_columns(here: Path) -> None:
    init_for_model(Path(), model=write_model(here), examples=write_rows(here, ROWS))
    assert load_project(here).golden.columns == ("age", "plan", "minutes", "left")


def refused(model: Path, rows: Path) -> str:
    with pytest.raises(MlshipError) as caught:
        init_for_model(Path("p"), model=model, examples=rows)
    assert not Path("p").exists()
    return str(caught.value)


def test_rows_that_do_not_fit_are_refused(here: Path) -> None:
    rows = write_rows(here, ROWS)
    named = write_model(here, feature_names_in_=["age", "income"], n_features_in_=2)
    assert refused(named, rows).startswith("rows.csv has no column income: model.pkl was trained with it")
    assert refused(write_model(here, n_features_in_=9), rows).startswith(
        "rows.csv has 4 columns and model.pkl reads 9"
    )


def test_what_is_no_table_is_refused(here: Path) -> None:
    model = write_model(here)
    assert "no header" in refused(model, write_rows(here, "1,2\n3,4\n"))
    assert "rows.csv:3" in refused(model, write_rows(here, "a,b\n1,2\n3\n"))
    assert "is empty" in refused(model, write_rows(here, ""))


def test_what_is_no_model_is_refused(here: Path) -> None:
    rows = write_rows(here, ROWS)
    (here / "broken.pkl").write_bytes(b"not a pickle")
    message = refused(here / "broken.pkl", rows)
    assert "broken.pkl cannot be loaded: " in message
    assert "activate the environment" in message
    (here / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    assert "holds a builtins.list, which cannot predict" in refused(here / "list.pkl", rows)
    assert "nope.pkl is not there" in refused(Path("nope.pkl"), rows)
    assert "is not a file" in refused(here / "list.pkl", here)


def test_arrays_that_are_none_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLSHIP_PYTHON", sys.executable)  # which has numpy
    model = write_model(here, n_features_in_=3)
    np.save(here / "none.npy", np.zeros((0, 3)))
    np.save(here / "object.npy", np.array([{}], dtype=object))
    (here / "text.npy").write_text("1,2,3")
    (here / "nothing.npy").write_bytes(b"")
    assert refused(model, Path("none.npy")).startswith("none.npy has no rows")
    for name in ("object.npy", "text.npy", "nothing.npy"):
        assert refused(model, Path(name)).startswith(f"{name} is no array of numbers: ")


def test_the_model_is_loaded_in_a_process_of_its_own(here: Path) -> None:
    """A pickle that would end the process that loads it ends only the child."""
    (here / "deadly.pkl").write_bytes(b"cos\n_exit\n(I3\ntR.")
    assert "could not be looked at" in refused(here / "deadly.pkl", write_rows(here, ROWS))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My Churn", "my-churn"), ("a__b", "a-b"), ("Ünï", "n"), ("___", "fall-back"), ("x" * 80, "x" * 63)],
)
def test_the_projects_name(folder: str, name: str, here: Path) -> None:
    assert project_name(here / folder, otherwise="fall back") == name


def test_odd_names_are_written_as_toml(here: Path) -> None:
    odd = 'say "hi" \\ # = ü'
    seen = Seen(
        model="a.B", made_with="a 1", python="3.11", features=1, classes=(), rows=1, left_out=(),
        columns=(Column(name=odd, datatype="FP64", nullable=False, holds="numbers"),),
    )  # fmt: skip
    text = config_text(here, "n", model=here / 'a "b".pkl', examples=here / "rows.csv", seen=seen)
    document = tomllib.loads(text)
    assert document["golden"]["columns"] == [odd]
    assert document["model"]["source"] == 'a "b".pkl'


def test_the_own_environment_of_the_folder_is_used(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".venv" / "bin").mkdir(parents=True)
    (here / ".venv" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("MLSHIP_PYTHON", "/nowhere")
    init_for_model(Path(), model=write_model(here), examples=write_rows(here, ROWS))
    assert load_project(here).project.python == ".venv/bin/python"
