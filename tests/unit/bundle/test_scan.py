"""Whatever layer and file a pickle or a secret hides in, it is named; what is fine is let be."""

from __future__ import annotations

import gzip
import io
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import LINUX, make_layers, make_spec, write_bundle

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.audit import scan
from mlship.bundle.audit.scan import refuse_findings, scan_bundle
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.errors import BundleError
from mlship.reference import Reference
from mlship.registry.over_store import open_folder

TOKEN = b"ghp_" + b"aB3" * 12
PICKLE = pickle.dumps({"a": [1.0, 2.0, 3.0], "b": "words"}, protocol=4)


class Calls:
    def __reduce__(self) -> Any:
        return print, ("called",)


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data/inner", data)
    return buffer.getvalue()


Make = Callable[..., OpenBundle]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """`made("model", {"model/x": b"…"})`: the sample bundle with these files in the layer of that role (for
    the runtime: of Linux), and a card."""

    def make(role: str = "", files: dict[str, bytes] | None = None, **document: Any) -> OpenBundle:
        registry = open_folder(f"dir://{tmp_path}/registry")
        layers = make_layers(tmp_path)
        layers.append(write_layer(tmp_path / "card.tar", "card", [("card/card.md", b"# Churn\n")]))
        for at, layer in enumerate(layers):
            if layer.role == role and layer.platform in ("", LINUX):
                layers[at] = again(layer, tmp_path, files or {})
        return open_bundle(
            registry,
            Reference("churn", digest=write_bundle(registry, layers, {**make_spec(layers), **document})),
        )

    return make


def again(layer: Layer, folder: Path, files: dict[str, bytes]) -> Layer:
    before = {
        "model": {"model/model.onnx": b"a model"},
        "reduction": {"reduction/reduce.py": b"def reduce(columns):\n    return columns\n"},
        "golden": {"golden/golden.json": b"{}"},
    }.get(layer.role, {})
    content = {**before, **files}
    return write_layer(folder / layer.title, layer.role, content.items(), platform=layer.platform)


def found(bundle: OpenBundle, *excepted: str) -> list[str]:
    return [str(finding) for finding in scan_bundle(bundle, excepted).findings]


def test_a_good_bundle_passes(made: Make) -> None:
    bundle = made()
    scanned = scan_bundle(bundle)
    assert (scanned.files, scanned.findings) == (9, ())  # eight files of layers, and mlship.json
    assert scanned.bytes == bundle.manifest.spec_layer.size + sum(
        entry.size for entries in bundle.spec.files.values() for entry in entries
    )
    refuse_findings(bundle, scanned)


RUNTIME = f"runtime/{LINUX}/pkg"
HIDDEN = {
    "in code": (
        "reduction",
        "reduction/tables.py",
        b"\n\nKEY = '" + TOKEN + b"'",
        ":3 looks like it has a token",
    ),
    "in a wheel": ("runtime", f"{RUNTIME}/conf.py", b"x = '" + TOKEN + b"'", ":1 looks like it has a token"),
    "in a library": ("runtime", f"{RUNTIME}/a.so", b"\x7fELF\0\n" + TOKEN, ":2 looks like it has a token"),
    "in weights": (
        "model",
        "model/weights/a.bin",
        bytes(9000) + b"\n" + TOKEN,
        ":2 looks like it has a token",
    ),
    "in the graph": ("model", "model/model.onnx", b"\x08\x08" + b'"' + TOKEN, ":1 looks like it has a token"),
    "in the examples": (
        "golden",
        "golden/golden.json",
        b'{"x":"' + TOKEN + b'"}',
        ":1 looks like it has a token",
    ),
    "in the card": ("card", "card/card.md", b"# Churn\n" + TOKEN, ":2 looks like it has a token"),
    "a pickle in a wheel": ("runtime", f"{RUNTIME}/data.bin", PICKLE, " is a pickle"),
    "a pickle called otherwise": ("model", "model/weights/a.bin", PICKLE, " is a pickle"),
    "a pickle instead of the graph": ("model", "model/model.onnx", PICKLE, " is a pickle"),
    "a pickle by its name": ("runtime", f"{RUNTIME}/a.joblib", b"?", " is a pickle"),
    "an old pickle that calls": (
        "reduction",
        "reduction/a.txt",
        pickle.dumps(Calls(), protocol=0),
        " is a pickle",
    ),
    "a compressed pickle": (
        "reduction",
        "reduction/a.gz",
        gzip.compress(PICKLE, mtime=0),
        " is a compressed pickle",
    ),
    "a pickle in a zip": ("runtime", f"{RUNTIME}/a.npz", zipped(PICKLE), " holds the pickle 'data/inner'"),
    "an array of objects": (
        "runtime",
        f"{RUNTIME}/a.npy",
        b"\x93NUMPY\x01\0v\0{'descr': '|O'}",
        " is an array of pickled objects",
    ),
}


@pytest.mark.parametrize(("role", "path", "data", "said"), HIDDEN.values(), ids=HIDDEN)
def test_wherever_it_hides_it_is_named(made: Make, role: str, path: str, data: bytes, said: str) -> None:
    bundle = made(role, {path: data})
    (only,) = found(bundle)
    assert only.startswith(path + said)
    assert TOKEN.decode() not in only
    with pytest.raises(BundleError, match="does not pass the scan: ") as caught:
        refuse_findings(bundle, scan_bundle(bundle))
    assert caught.value.exit_code == 4
    assert only in caught.value.what


def test_in_the_labels(made: Make) -> None:
    (only,) = found(made(labels={"team": TOKEN.decode()}))
    assert only.startswith("mlship.json:1 looks like it has a token of GitHub")


@pytest.mark.parametrize("pattern", [f"{RUNTIME}/*", "*/pkg/a.bin", "runtime/*/pkg/*"])
def test_what_the_target_excepts_is_let_be(made: Make, pattern: str) -> None:
    bundle = made("runtime", {f"{RUNTIME}/a.bin": PICKLE})
    assert found(bundle, pattern) == []
    assert len(found(bundle, "reduction/*", "pkg/a.bin")) == 1


@pytest.mark.parametrize("place", ["tables.py:3", "tables.py", "reduction/tables.py:3"])
def test_what_the_build_was_told_to_be_none_is_let_be(made: Make, place: str) -> None:
    files = {"reduction/tables.py": b"\n\n'" + TOKEN + b"'"}
    assert found(made("reduction", files, notSecret=[place])) == []
    for other in (["tables.py:2"], [7], "tables.py:3", ["model.py:3"]):
        assert len(found(made("reduction", files, notSecret=other))) == 1


def test_random_weights_are_no_secret(made: Make) -> None:
    assert found(made("model", {"model/weights/a.bin": random.Random(5).randbytes(3_000_000)})) == []


def test_of_large_files_the_beginning_is_held(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are looked for in all of it, pickles in the beginning; zips have their list at the end."""
    monkeypatch.setattr(scan, "WHOLE", 1 << 20)
    large = bytes(3 << 20)
    files = {
        "model/a.bin": PICKLE + large,
        "model/b.bin": large + b"\n" + TOKEN,
        "model/c.bin": zipped(PICKLE) + large,
    }
    assert [text.partition(" ")[2] for text in found(made("model", files))] == [
        "is a pickle",
        "looks like it has a token of GitHub",
        "is an archive too large to be looked into",
    ]


def test_many_findings_are_counted(made: Make) -> None:
    bundle = made("runtime", {f"{RUNTIME}/{number:03}.pkl": b"" for number in range(130)})
    scanned = scan_bundle(bundle)
    assert len(scanned.findings) == 100
    with pytest.raises(BundleError, match=r"004.pkl is a pickle and 95 more: ") as caught:
        refuse_findings(bundle, scanned)
    assert caught.value.what.count("is a pickle") == 5


def test_a_damaged_layer_is_not_scanned_for_good(made: Make) -> None:
    bundle = made()
    path = bundle.registry.file_of_blob("churn", bundle.manifest.layers[0].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"a model", b"a MODEL"))
    with pytest.raises(BundleError, match=r"model.tar in dir://.* is damaged"):
        scan_bundle(bundle)
