"""Pickles are known by what they are, not by what they are called."""

from __future__ import annotations

import collections
import gzip
import io
import pickle
import zipfile
import zlib

import numpy as np
import pytest

from mlship.bundle.models.pickles import find_pickles, refuse_pickles
from mlship.errors import BuildError

VALUE = collections.OrderedDict(a=[1, 2.5, "three"], b=complex(1, 2))


def npy(array: np.ndarray, **said: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **said)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme", "plain")
        archive.writestr(name, data)
    return file.getvalue()


PICKLES = {
    **{f"protocol {number}": pickle.dumps(VALUE, number) for number in range(6)},
    **{f"plain data, protocol {number}": pickle.dumps({"a": 1}, number) for number in range(2, 6)},
    "a call": b"cposix\nsystem\n(S'true'\ntR.",
    "an instance": b"(S'true'\niposix\nsystem\n.",
    "cut off": pickle.dumps(VALUE, 4)[:-9],
    "objects in an array": npy(np.array([{}, None], object), allow_pickle=True),
    "objects in a record": npy(np.array([(1, {})], [("a", "i4"), ("b", "O")]), allow_pickle=True),
    "objects in an archive of arrays": npz(good=np.zeros(3), bad=np.array([{}], object)),
    "in a zip, as torch does": zipped("model/data", pickle.dumps(VALUE)),
    "in a zip, by its name": zipped("data.pkl", b"anything"),
    "compressed": zlib.compress(pickle.dumps(VALUE)),
    "gzipped": gzip.compress(pickle.dumps(VALUE)),
    "a zip that is broken": zipped("a", b"b")[:40],
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_are_found(name: str) -> None:
    with pytest.raises(BuildError, match=r"^tables/weights\.bin .*(pickle|archive that)"):
        refuse_pickles({"reduce.py": b"", "tables/weights.bin": PICKLES[name]})


@pytest.mark.parametrize("name", ["a.pkl", "B.PKL", "a.joblib", "a.pt", "a.pickle"])
def test_names_say_it_too(name: str) -> None:
    with pytest.raises(BuildError, match="is a pickle"):
        refuse_pickles({name: b"x"})


PLAIN = {
    "nothing": b"",
    "text": b"This is a sentence.",
    "a dot": b".",
    "code": b"import os\n\n\ndef reduce(columns):\n    return columns  # as it is.\n",
    "json": b'{"a": [1, 2, 3]}\n',
    "csv": b"a,b\n1,2.\n",
    "numbers": npy(np.arange(10.0)),
    "texts": npy(np.array(["Oslo", "|O"])),
    "arrays": npz(a=np.zeros(3), b=np.array(["x"])),
    "a zip": zipped("a.txt", b"a sentence."),
    "gzipped text": gzip.compress(b"a sentence."),
    "bytes that begin like one": b"\x80\x04" + bytes(range(255, 0, -1)),
    "zeros": bytes(100),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_none_is_let_be(name: str) -> None:
    assert list(find_pickles("tables/weights.bin", PLAIN[name])) == []
