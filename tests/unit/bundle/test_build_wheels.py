"""Wheels on their way into layers: fetched by digest, read without installing, trimmed, packed, cached."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from mlship.bundle.packages import trim, wheels
from mlship.bundle.packages.platforms import wanted
from mlship.bundle.packages.resolve import Wheel
from mlship.bundle.packages.runtime_layers import ground_floor_layer, platform_layers, unpacked
from mlship.bundle.packages.unwheel import wheel_files
from mlship.errors import BuildError
from mlship.progress import SILENT
from mlship_runtime.bundle.manifest import digest_of

LINUX = wanted("linux/amd64", "3.11")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLSHIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def zipped(path: Path, files: dict[str, bytes], *, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, data)
    return path


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> tuple[Wheel, str]:
    path = zipped(folder / f"{name}-1.0-py3-none-any.whl", files)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(name, "1.0", path.name, sha256), path.as_uri()


def test_files_as_site_packages_would_have_them(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "a.whl",
        {
            "z/__init__.py": b"z",
            "a/b.py": b"b",
            "a-1.0.data/purelib/a/pure.py": b"p",
            "a-1.0.data/platlib/a/plat.so": b"q",
            "a-1.0.data/scripts/tool": b"#!python",
            "a-1.0.data/data/share/x": b"x",
            "a-1.0.dist-info/METADATA": b"m",
            "coloredlogs.pth": b"import coloredlogs",
        },
    )
    found = list(wheel_files(path, "a.whl"))
    assert [place for place, _ in found] == [
        "a-1.0.dist-info/METADATA", "a/b.py", "a/plat.so", "a/pure.py", "z/__init__.py",
    ]  # fmt: skip
    assert dict(found)["a/plat.so"] == b"q"


@pytest.mark.parametrize(
    ("files", "mode", "said"),
    [
        ({"a.pth": b"import os"}, 0, "code that runs at every start"),
        ({"a/link": b"/etc/passwd"}, stat.S_IFLNK | 0o777, "is not a regular file"),
        ({"../a.py": b""}, 0, "cannot be packed"),
        ({"/a.py": b""}, 0, "cannot be packed"),
        ({"a/x.py": b"", "A/x.py": b""}, 0, "one name on some file systems"),
        ({"a/x.py": b"", "a-1.data/purelib/a/x.py": b""}, 0, "stands twice"),
        ({"a/\u202egnp.py": b""}, 0, "control character"),
    ],
)
def test_what_must_not_be_in_a_bundle_is_refused(tmp_path: Path, files, mode: int, said: str) -> None:
    path = zipped(tmp_path / "a.whl", files, mode=mode)
    with pytest.raises(BuildError) as caught:
        list(wheel_files(path, "a.whl"))
    assert said in str(caught.value)
    assert "a.whl" in str(caught.value)


def test_encrypted_and_broken_wheels_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.whl", {"a.py": b"x = 1\n" * 50})
    whole = path.read_bytes()
    central = whole.rindex(b"PK\x01\x02")
    path.write_bytes(whole[: central + 8] + b"\x01" + whole[central + 9 :])
    with pytest.raises(BuildError, match="is encrypted"):
        list(wheel_files(path, "a.whl"))
    damaged = bytearray(whole)
    damaged[40] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(BuildError, match=r"a\.whl cannot be read"):
        list(wheel_files(path, "a.whl"))


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("numpy/f2py/x.py", False),  # `from numpy import *` imports it, as scipy does
        ("numpy/distutils/x.py", True),
        ("numpy/_core/tests/t.py", True),
        ("joblib/test/data/old.pkl", True),
        ("numpy/test/t.py", False),
        ("tests/x.py", False),  # a package of that name
        ("numpy/__init__.pyi", True),
        ("onnxruntime/transformers/a.py", True),
        ("onnxruntime/capi/libonnxruntime.so.1.31.1", True),
        ("onnxruntime/capi/libonnxruntime_providers_shared.so", False),
        ("onnxruntime/capi/onnxruntime_pybind11_state.so", False),
        ("numpy/typing/__init__.py", False),
        ("numpy/testing/__init__.py", False),
        ("numpy-2.4.dist-info/METADATA", False),
    ],
)
def test_the_trim_list(path: str, gone: bool) -> None:
    assert trim.is_trimmed(path) is gone


def test_fetching_checks_and_keeps(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, url = wheel(tmp_path, "one", {"one.py": b"1"})
    wheels.fetch([one], {one.sha256: url}, "3.11", SILENT)
    assert hashlib.sha256(wheels.wheel_path(one).read_bytes()).hexdigest() == one.sha256
    wheels.fetch([one], {}, "3.11", SILENT)  # no place is asked for again
    lie = Wheel("one", "1.0", "one.whl", "ee" * 32)
    with pytest.raises(BuildError, match=r"one\.whl is not the file that was locked"):
        wheels.fetch([lie], {lie.sha256: url}, "3.11", SILENT)
    monkeypatch.setattr(wheels, "locate", lambda missing, python: {})
    with pytest.raises(BuildError, match=r"no longer has one\.whl as it was locked.*mlship lock --upgrade"):
        wheels.fetch([lie], {}, "3.11", SILENT)
    gone = (tmp_path / "gone.whl").as_uri()
    with pytest.raises(BuildError, match=r"one\.whl cannot be fetched"):
        wheels.fetch([lie], {lie.sha256: gone}, "3.11", SILENT)
    assert [path.name for path in (cache / "wheels").iterdir()] == [one.sha256]


def test_a_password_goes_to_the_indexs_own_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:s%40crit@index.test/simple")
    mine = wheels._request("https://index.test/files/a.whl")
    other = wheels._request("https://files.test/a.whl")
    plain = wheels._request("http://index.test/files/a.whl")
    assert mine.get_header("Authorization") == "Basic bWU6c0Bjcml0"
    assert other.get_header("Authorization") is None
    assert plain.get_header("Authorization") is None


@pytest.fixture
def two(tmp_path: Path) -> list[Wheel]:
    found = []
    for name, files in (
        ("one", {"one/__init__.py": b"1", "one/tests/t.py": b"t"}),
        ("two", {"two/__init__.py": b"2", "two/data.bin": bytes(range(256)) * 40}),
    ):
        made, url = wheel(tmp_path, name, files)
        wheels.fetch([made], {made.sha256: url}, "3.11", SILENT)
        found.append(made)
    return found


def test_small_wheels_are_one_layer_and_large_ones_their_own(two, monkeypatch: pytest.MonkeyPatch) -> None:
    (together,) = platform_layers(LINUX, two, trim.VERSION)
    assert together.title == "runtime-linux-amd64-cp311-gnu2.28-packages.tar"
    root = "runtime/linux-amd64-cp311-gnu2.28/"
    assert [entry.path.removeprefix(root) for entry in together.entries] == [
        "one/__init__.py", "two/__init__.py", "two/data.bin",
    ]  # fmt: skip
    monkeypatch.setattr("mlship.bundle.packages.runtime_layers.OWN_LAYER", 0)
    assert [layer.title[-7:] for layer in platform_layers(LINUX, two, trim.VERSION)] == ["one.tar", "two.tar"]


def test_trimming_can_be_switched_off(two) -> None:
    (whole,) = platform_layers(LINUX, two, trim.NOTHING)
    assert any(entry.path.endswith("one/tests/t.py") for entry in whole.entries)


def test_a_second_time_the_cache_answers(two, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = platform_layers(LINUX, two, trim.VERSION)
    written = first.path.stat()
    (second,) = platform_layers(LINUX, list(reversed(two)), trim.VERSION)
    assert second == first
    assert second.path.stat().st_mtime_ns == written.st_mtime_ns
    first.path.chmod(0o644)
    first.path.write_bytes(first.path.read_bytes()[:-1] + b"x")  # damaged: made again
    (third,) = platform_layers(LINUX, two, trim.VERSION)
    assert third == first
    assert digest_of(third.path.read_bytes()) == first.digest
    first.path.with_suffix(".json").write_bytes(b"{}")
    assert platform_layers(LINUX, two, trim.VERSION) == [first]


def test_two_packages_with_one_file_are_refused(tmp_path: Path, two) -> None:
    more, url = wheel(tmp_path, "more", {"one/__init__.py": b"other"})
    wheels.fetch([more], {more.sha256: url}, "3.11", SILENT)
    with pytest.raises(BuildError, match=r"both bring one/__init__\.py"):
        platform_layers(LINUX, [*two, more], trim.VERSION)


def test_an_unpacked_layer_that_was_changed_is_unpacked_again(two, tmp_path: Path) -> None:
    (layer,) = platform_layers(LINUX, two, trim.VERSION)
    folder = unpacked(layer, tmp_path / "unpacked")
    file = folder / layer.entries[0].path
    assert file.read_bytes() == b"1"
    file.chmod(0o644)
    file.write_bytes(b"changed")
    assert unpacked(layer, tmp_path / "unpacked") == folder
    assert file.read_bytes() == b"1"


def test_the_ground_floor_is_sources_only_and_made_once() -> None:
    layer = ground_floor_layer()
    written = layer.path.stat()
    assert ground_floor_layer() == layer
    assert layer.path.stat() == written
    paths = [entry.path for entry in layer.entries]
    assert "runtime/any/mlship_runtime/boot.py" in paths
    assert all(path.endswith(".py") for path in paths)
    assert (layer.title, layer.platform) == ("runtime-any.tar", "any")
