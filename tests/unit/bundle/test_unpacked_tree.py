"""An unpacked bundle: found by release record, verified to the last file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import GOLDEN, LINUX, MACOS, make_bundle

from mlship.registry import open_registry
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.manifest import read_manifest
from mlship_runtime.bundle.spec import read_spec
from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.bundle.verify import verify_tree
from mlship_runtime.errors import InvalidBundle

Release = dict[str, Any]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A release record of the sample bundle, unpacked for LINUX, each layer in its own folder."""
    return unpack(tmp_path, lambda digest: tmp_path / "layers" / digest[7:])


def unpack(base: Path, root: Callable[[str], Path]) -> Release:
    registry = open_registry(f"dir://{base}/registry")
    digest = make_bundle(registry)
    blobs = base / "registry" / "blobs" / "sha256"
    data = registry.read_manifest("churn", digest)
    manifest = read_manifest(data)
    (base / "manifest.json").write_bytes(data)
    shutil.copy(blobs / manifest.spec_layer.digest[7:], base / "mlship.json")
    spec = read_spec((base / "mlship.json").read_bytes())
    roots = {}
    (base / "layers").mkdir()
    for layer in manifest.layers_for(LINUX):
        if layer.is_tar:
            into = root(layer.digest)
            roots[layer.digest] = str(into)
            with (blobs / layer.digest[7:]).open("rb") as stream:
                extract_layer(stream, str(into), spec.files[layer.digest], layer.digest)
    return {
        "digest": digest,
        "platform": LINUX,
        "manifest": str(base / "manifest.json"),
        "spec": str(base / "mlship.json"),
        "layers": roots,
    }


def test_paths(release: Release) -> None:
    tree = open_tree(release)
    verify_tree(tree)
    assert tree.digest == release["digest"]
    assert Path(tree.path("model/model.onnx")).read_bytes() == b"a model"
    assert canonical.decode(Path(tree.path("golden/golden.json")).read_bytes()) == GOLDEN
    (root,) = tree.roots_of("reduction")
    assert (Path(root) / "reduction" / "reduce.py").is_file()
    assert len(tree.roots_of("runtime", LINUX)) == 2
    first, second = tree.search_path(LINUX)
    assert first.endswith("runtime/any")
    assert Path(second, "numpy", "core.so").is_file()
    assert len(tree.layers) == 5


def test_what_is_not_unpacked_here(release: Release) -> None:
    tree = open_tree(release)
    with pytest.raises(InvalidBundle, match="no file 'model/other"):
        tree.path("model/other")
    with pytest.raises(InvalidBundle, match="no file"):
        tree.path(f"runtime/{MACOS}/numpy/core.so")
    with pytest.raises(InvalidBundle, match=r"runtime-macos\.tar is not unpacked here"):
        open_tree({**release, "platform": MACOS})


def test_all_layers_in_one_folder(tmp_path: Path) -> None:
    release = unpack(tmp_path, lambda digest: tmp_path / "layers" / digest[7:])
    whole = tmp_path / "whole"
    for folder in release["layers"].values():
        shutil.copytree(folder, whole, dirs_exist_ok=True)
    release["layers"] = dict.fromkeys(release["layers"], str(whole))
    tree = open_tree(release)
    verify_tree(tree)
    assert tree.roots_of("runtime", LINUX) == (str(whole),)
    assert tree.search_path(LINUX) == (f"{whole}/runtime/any", f"{whole}/runtime/{LINUX}")


@pytest.mark.parametrize("key", ["manifest", "spec"])
def test_manifest_and_spec_are_compared_with_their_digests(release: Release, key: str) -> None:
    path = Path(release[key])
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data.replace(b"churn", b"chorn", 1))
    with pytest.raises(InvalidBundle, match="damaged or exchanged"):
        open_tree(release)
    path.unlink()
    with pytest.raises(InvalidBundle, match="No such file"):
        open_tree(release)


def damage_bit(file: Path) -> None:
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def grow(file: Path) -> None:
    file.chmod(0o644)
    with file.open("ab") as opened:
        opened.write(b"!")


def replace_by(make: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        kept = file.parents[2] / "kept"
        shutil.copy(file, kept)
        file.unlink()
        make(kept, file)

    return change


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (damage_bit, "'model/model.onnx' is not what the index says"),
    "longer": (grow, "is not what the index says"),
    "shorter": (lambda f: os.truncate(f, 3), "is not what the index says"),
    "missing": (Path.unlink, "'model/model.onnx' is missing"),
    "added": (lambda f: f.with_name("extra").write_bytes(b""), "'model/extra' is not part of the bundle"),
    "added beside": (lambda f: (f.parents[1] / "evil.py").write_bytes(b""), "'evil.py' is not part"),
    "empty folder": (lambda f: f.with_name("dir").mkdir(), "'model/dir' is not part of the bundle"),
    "unpacked byte code": (lambda f: f.with_name("__pycache__").mkdir(), "is not part of the bundle"),
    "symbolic link": (replace_by(lambda kept, f: f.symlink_to(kept)), "is a link or no regular file"),
    "hard link": (replace_by(lambda kept, f: f.hardlink_to(kept)), "is a link or no regular file"),
    "pipe": (replace_by(lambda kept, f: os.mkfifo(f)), "is a link or no regular file"),
    "folder for a file": (replace_by(lambda kept, f: f.mkdir()), "is a link or no regular file"),
    "folder exchanged for a link": (
        lambda f: (shutil.move(f.parent, f.parents[2] / "away"), f.parent.symlink_to(f.parents[2] / "away")),
        "'model' is not part of the bundle",
    ),
    "whole layer gone": (lambda f: shutil.rmtree(f.parents[1]), "cannot be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(release: Release, kind: str) -> None:
    change, message = DAMAGE[kind]
    tree = open_tree(release)
    change(Path(tree.path("model/model.onnx")))
    with pytest.raises(InvalidBundle) as caught:
        verify_tree(tree)
    assert message in str(caught.value)
