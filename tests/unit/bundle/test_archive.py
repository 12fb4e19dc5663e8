"""Packing a layer: the same bytes anywhere, and nothing that an extractor would refuse."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship.bundle.archive import Content, write_layer
from mlship.errors import BuildError, BundleError
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.ustar import members, tar_size
from mlship_runtime.bundle.verify import verify_layer

FILES: dict[str, Content] = {
    "model/model.onnx": b"\x08\x08" * 600,
    "model/größe.txt": b"",
    "model/a-b/x": b"1",
    "model/a/x": b"2",
    "model/a.b": b"3",
}


def test_digest_of_a_fixed_tree(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "x.tar", "model", FILES.items())
    assert layer.digest == "sha256:d41a56f6e4b2a6d03c95b28d2b1cb841be1df2d2bc5b04d9dfcd25e5dbea6643"
    assert layer.size == (tmp_path / "x.tar").stat().st_size == tar_size(e.size for e in layer.entries)


def test_order_and_way_of_giving_do_not_matter(tmp_path: Path) -> None:
    expected = write_layer(tmp_path / "first.tar", "model", FILES.items()).digest
    given_files = list(FILES.items())
    for number in range(5):
        random.Random(number).shuffle(given_files)
        assert write_layer(tmp_path / "other.tar", "model", iter(given_files)).digest == expected
    on_disk: list[tuple[str, Content]] = []
    for number, (path, content) in enumerate(FILES.items()):
        assert isinstance(content, bytes)
        file = tmp_path / str(number)
        file.write_bytes(content)
        file.chmod(0o700)
        os.utime(file, (number, number))
        on_disk.append((path, file))
    assert write_layer(tmp_path / "disk.tar", "model", on_disk).digest == expected
    lazily: list[tuple[str, Content]] = [(path, lambda c=c: c) for path, c in FILES.items()]  # type: ignore[misc]
    assert write_layer(tmp_path / "lazy.tar", "model", lazily).digest == expected


def test_another_umask_time_zone_and_hash_seed(tmp_path: Path) -> None:
    expected = write_layer(tmp_path / "here.tar", "model", FILES.items()).digest
    code = (
        "import os, sys; os.umask(0o077)\n"
        "from pathlib import Path\n"
        "from mlship.bundle.archive import write_layer\n"
        f"files = {FILES!r}\n"
        "print(write_layer(Path(sys.argv[1]), 'model', [(p, files[p]) for p in set(files)]).digest)"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / f"{seed}.tar"],
            env={"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_sorted_by_bytes_and_named_by_file(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "model.tar", "model", FILES.items())
    paths = [entry.path for entry in layer.entries]
    assert paths == sorted(FILES, key=lambda path: path.encode())
    assert paths[:3] == ["model/a-b/x", "model/a.b", "model/a/x"]
    with layer.path.open("rb") as file:
        assert [path for path, _, _ in members(file)] == paths
    assert (layer.title, layer.role, layer.platform) == ("model.tar", "model", "")
    assert layer.index()[0] == ["model/a-b/x", 1, hashlib.sha256(b"1").hexdigest()]
    assert layer.path.stat().st_mode & 0o777 == 0o444


@settings(max_examples=25)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9_]{1,9}\.d(/[a-z0-9_]{1,9}\.d){0,3}/[a-z]{1,5}\.f", fullmatch=True),
        st.binary(max_size=2000),
        max_size=12,
    )
)
def test_what_is_packed_is_extracted_and_verified(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    layer = write_layer(folder / "x.tar", "model", files.items())
    extract_layer(io.BytesIO(layer.path.read_bytes()), str(folder / "x"), layer.entries, layer.digest)
    verify_layer(str(folder / "x"), layer.entries)
    found = {p.relative_to(folder / "x").as_posix(): p.read_bytes() for p in folder.glob("x/**/*.f")}
    assert found == files


@pytest.mark.parametrize(
    "paths",
    [
        ["/a"],
        ["../a"],
        ["a\\b"],
        ["a\nb"],
        ["a", "A"],
        ["a", "a"],
        ["a/b", "a"],
        ["x" * 201],
        ["p/" + "n" * 150],
        ["a\udc80"],
    ],
)
def test_paths_that_no_bundle_may_hold(tmp_path: Path, paths: list[str]) -> None:
    with pytest.raises(BundleError) as caught:
        write_layer(tmp_path / "x.tar", "model", [(path, b"") for path in paths])
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


class Growing(type(Path())):  # type: ignore[misc]
    """A file that is longer, or shorter, when it is read than when it was looked at."""

    by = 1

    def stat(self, **more: bool) -> os.stat_result:
        real = super().stat(**more)
        return os.stat_result((*real[:6], real.st_size - self.by, *real[7:10]))


class Shrinking(Growing):
    by = -1


@pytest.mark.parametrize("kind", [Growing, Shrinking])
def test_a_file_that_changes_meanwhile(tmp_path: Path, kind: Callable[[Path], Path]) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(BuildError, match=r"changed while it was packed as model/x\. Build again"):
        write_layer(tmp_path / "x.tar", "model", [("model/x", kind(tmp_path / "file"))])
    assert not (tmp_path / "x.tar").exists()
