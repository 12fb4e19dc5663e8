"""URLs: who opens them, and from where a relative one is taken."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from mlship.errors import RegistryError, UsageError
from mlship.registry import open_registry
from mlship.store import open_store
from mlship.store.folder import FolderStore
from mlship.store.scheme import absolute


def test_the_built_in_comes_through_its_entry_point(tmp_path: Path) -> None:
    assert isinstance(open_store(f"dir://{tmp_path}"), FolderStore)
    assert open_registry(f"dir://{tmp_path}/r").url == f"dir://{tmp_path}/r"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("url", ["s4://bucket", "folder", "", "dir:", "://x", "DIR:///x"])
def test_unknown_schemes(url: str) -> None:
    for opener in (open_store, open_registry):
        with pytest.raises(UsageError, match="the schemes known here are azblob://, dir://") as caught:
            opener(url)
        assert caught.value.exit_code == 2


def test_where_a_path_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(tmp_path)
    assert absolute("dir://./registry", Path("/project")) == "dir:///project/registry"
    assert absolute("dir://../r", Path("/project/x")) == "dir:///project/r"
    assert absolute("dir://./registry", None) == f"dir://{tmp_path}/registry"
    assert absolute("dir://~/r", Path("/project")) == "dir:///home/somebody/r"
    assert absolute("dir:///r", Path("/project")) == "dir:///r"
    assert absolute("s3://bucket/./x", Path("/project")) == "s3://bucket/./x"


def test_a_strangers_store(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        (
            EntryPoint("mem", "builtins:str", "mlship.stores"),
            EntryPoint("broken", "not_installed_at_all:Store", "mlship.stores"),
        )
    )
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points.select(group=group))
    monkeypatch.syspath_prepend("/where/it/lies")  # what is offered is read once for each path
    assert open_store("mem://x") == "mem://x"
    with pytest.raises(RegistryError, match="not_installed_at_all") as caught:
        open_store("broken://x")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="broken://, mem://"):
        open_store("dir:///x")


def test_importing_the_doors_loads_neither_rooms_nor_metadata() -> None:
    code = (
        "import sys, mlship.store, mlship.registry\n"
        "heavy = 'importlib.metadata', 'mlship.store.folder', 'mlship.registry.over_store', 'msgspec'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
