"""Models come back from their files, and nothing that the bundle does not list is touched on the way."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops import io as skops_io

from mlship.bundle.models.named_globals import named_in_pickle
from mlship.errors import BuildError
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.permitted import PLAIN
from mlship_runtime.model.restored import restore
from mlship_runtime.model.skops_file import named_in_skops

DATA = load_iris()


def dumped(value: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


def fitted() -> object:
    labels = DATA.target_names[DATA.target].astype(object)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(4, random_state=0))
    return model.fit(DATA.data, labels)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_model_answers_as_before(protocol: int) -> None:
    model = fitted()
    data = pickle.dumps(model, protocol)
    back = restore(data, "pickle", named_in_pickle("m.pickle", data))
    assert (back.predict_proba(DATA.data) == model.predict_proba(DATA.data)).all()
    assert list(back.predict(DATA.data)) == list(model.predict(DATA.data))


def test_a_model_of_joblib_and_one_of_skops_answer_as_before() -> None:
    model = fitted()
    data = dumped(model)
    names = named_in_pickle("m.joblib", data)
    assert "sklearn.tree._tree.Tree" in names
    assert (restore(data, "pickle", names).predict(DATA.data) == model.predict(DATA.data)).all()
    data = skops_io.dumps(model)
    back = restore(data, "skops", named_in_skops(data))
    assert (back.predict_proba(DATA.data) == model.predict_proba(DATA.data)).all()


ARRAYS = {
    "rows": np.arange(24.0).reshape(4, 6),
    "columns": np.asfortranarray(np.arange(24, dtype="i4").reshape(4, 6)),
    "cube of columns": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "texts": np.array(["a", "bcd", "é"]),
    "bytes": np.array([b"a", b"bcd"]),
    "one": np.array(3.5),
    "none": np.zeros((0, 3)),
    "truths": np.array([True, False]),
    "other order": np.arange(3, dtype=">f8"),
    "objects": np.array(["a", None, 3, (1, 2)], dtype=object),
    "fields": np.array([(1, 2.5, "a")], dtype=[("x", "i2"), ("y", "f8"), ("z", "U3")]),
    "inner fields": np.zeros(2, dtype=[("x", [("y", "f4", (2, 2))]), ("z", "M8[s]")]),
    "fields with objects": np.array([(1, "a")], dtype=[("x", "i2"), ("y", object)]),
    "dates": np.array(["2026-11-21"], dtype="M8[D]"),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("write", [dumped, pickle.dumps])
def test_arrays_come_back_and_are_skipped_rightly(kind: str, write) -> None:
    """Between two others, so that a byte too many or too few would be seen."""
    array, marks = ARRAYS[kind], np.arange(5.0)
    data = write([marks, array, marks, {"after": array}])
    names = named_in_pickle("a.joblib", data)
    assert set(names) <= PLAIN
    first, back, last, rest = restore(data, "pickle", names)
    assert (first == marks).all()
    assert (last == marks).all()
    for found in (back, rest["after"]):
        assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
        assert found.shape == array.shape
        assert repr(found.tolist()) == repr(array.tolist())
        found[...] = found  # writable, as what joblib reads


def test_the_static_reading_names_what_loading_asks_for() -> None:
    for model in (fitted(), LogisticRegression(max_iter=500).fit(DATA.data, DATA.target)):
        for data in (dumped(model), pickle.dumps(model)):
            names = set(named_in_pickle("m", data))
            for name in sorted(names - {"joblib.numpy_pickle.NumpyArrayWrapper"}):
                with pytest.raises(InvalidBundle, match="does not list it"):
                    restore(data, "pickle", names - {name})


# Hostile files. Each would make a file if it ran.


class Runs:
    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.where}",)


def hostile(command: str) -> dict[str, bytes]:
    text, line = command.encode(), command.encode().replace(b"'", b"")
    short = b"\x8c" + bytes([len(text)]) + text
    system = b"\x8c\x05posix\x8c\x06system"
    array = np.array([0], dtype=object)
    array[0] = None
    inner = dumped(array)
    return {
        "GLOBAL": b"cos\nsystem\n(S'" + line + b"'\ntR.",
        "GLOBAL of Python 2": b"\x80\x02c__builtin__\neval\n(X"
        + struct.pack("<I", len(text))
        + text
        + b"tR.",
        "INST": b"(S'" + line + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + line + b"'\no.",
        "NEWOBJ": b"\x80\x04csubprocess\nPopen\n" + short + b"\x85\x81.",
        "STACK_GLOBAL": b"\x80\x04" + system + b"\x93" + short + b"\x85R.",
        "STACK_GLOBAL of the memo": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93"
        + short
        + b"\x85R.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0bos.path.sys\x93.",
        "getattr": b"\x80\x04cbuiltins\ngetattr\ncnumpy\nndarray\n\x8c\x05shape\x86R.",
        "operator": b"coperator\nattrgetter\n(S'system'\ntR.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent id": b"Pos.system\n.",
        "a class changed": b"\x80\x04cnumpy\nndarray\n}(\x8c\x01xK\x01ub.",
        "name made by a call": b"\x80\x04cbuiltins\nstr\n\x8c\x02os\x85R\x8c\x06system\x93.",
        "inner pickle of joblib": inner[: inner.rindex(b"\x80")]
        + b"\x80\x02cos\nsystem\n(S'"
        + line
        + b"'\ntR.",
        "cut": pickle.dumps([1, 2])[:-1],
        "nothing": b"",
        "no pickle": b"hello",
    }


COMMAND = "touch ran"
WANTED = {
    "posix.system",
    "os.system",
    "builtins.eval",
    "builtins.getattr",
    "subprocess.Popen",
    "operator.attrgetter",
    "numpy.os.path.sys",
}


@pytest.mark.parametrize("kind", hostile(COMMAND))
def test_hostile_pickles_run_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the bundle lists exactly what is plain, nor where its maker listed all that he wanted."""
    monkeypatch.chdir(tmp_path)
    data = hostile(COMMAND)[kind]
    for listed in (PLAIN, PLAIN | WANTED):
        with pytest.raises(InvalidBundle):
            restore(data, "pickle", listed)
    try:
        named = named_in_pickle("m.pickle", data)
    except BuildError:
        named = ()
    assert not named or not set(named) <= PLAIN
    assert not (tmp_path / "ran").exists()


def test_a_reduce_that_runs_is_not_run(tmp_path: Path) -> None:
    where = tmp_path / "ran"
    for data in (pickle.dumps(Runs(where)), dumped([np.arange(3), Runs(where), fitted()])):
        assert "posix.system" in named_in_pickle("m", data)
        with pytest.raises(InvalidBundle, match="cannot be permitted: the standard library"):
            restore(data, "pickle", PLAIN | set(named_in_pickle("m", data)))
        assert not where.exists()


@pytest.mark.parametrize("shape", [(-1, 3), (1 << 62,), (7, 1 << 40)])
def test_an_array_beyond_the_file_is_refused(shape: tuple[int, ...]) -> None:
    data = dumped(np.arange(3.0))
    place = data.index(b"K\x03\x85")
    wide = b"".join(b"\x8a\x08" + struct.pack("<q", size) for size in shape)
    changed = data[:place] + b"(" + wide + b"t" + data[place + 3 :]
    frame = data.index(b"\x95")
    length = struct.unpack("<Q", data[frame + 1 : frame + 9])[0] + len(changed) - len(data)
    changed = changed[: frame + 1] + struct.pack("<Q", length) + changed[frame + 9 :]
    with pytest.raises(InvalidBundle, match="cannot be read"):
        restore(changed, "pickle", PLAIN)
    with pytest.raises(BuildError, match="no pickle that can be followed"):
        named_in_pickle("m.joblib", changed)


def skops_file(node: dict) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16", **node}))
    return file.getvalue()


@pytest.mark.parametrize(
    "node",
    [
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        {
            "__class__": "attrgetter",
            "__module__": "operator",
            "__loader__": "OperatorFuncNode",
            "attrs": {
                "__class__": "tuple",
                "__module__": "builtins",
                "__loader__": "TupleNode",
                "content": [],
            },
        },
        {
            "__class__": "dict",
            "__module__": "builtins",
            "__loader__": "DictNode",
            "content": {"a": [{"__class__": "Popen", "__module__": "subprocess", "__loader__": "TypeNode"}]},
        },
        {"__class__": "x", "__module__": "y", "content": {"module_path": "os", "function": "system"}},
        {"__class__": "f", "__module__": "numpy", "__id__": 1, "__loader__": "NoSuchNode"},
    ],
)
def test_hostile_skops_files_run_nothing(node: dict) -> None:
    data = skops_file(node)
    with pytest.raises(InvalidBundle, match=r"does not list it among its globals|cannot be read"):
        restore(data, "skops", PLAIN)
    with pytest.raises(InvalidBundle, match=r"cannot be permitted|cannot be read"):
        restore(data, "skops", set(named_in_skops(data)))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", skops_file({})[:-5], b"{}"])
def test_what_is_no_skops_file(data: bytes) -> None:
    with pytest.raises(InvalidBundle, match="no file of skops"):
        named_in_skops(data)


def test_plain_values_need_no_list() -> None:
    value = OrderedDict(a=[1, 2.5, "three", b"four", {5}, frozenset((6,)), (7, None, True)], b=complex(1, 2))
    for protocol in range(2, 6):
        data = pickle.dumps(value, protocol)
        assert restore(data, "pickle", PLAIN) == value
