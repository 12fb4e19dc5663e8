"""A registry on a disk that is full, or read-only: nothing half there, one clear line, a retry that works."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.errors import RegistryError
from mlship.reference import parse_reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

pytestmark = pytest.mark.faults

MODEL = os.urandom(1 << 20)
NOBODY = 65534


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/source")


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("percent", range(5, 100, 5))
def test_disk_full(
    require: Callable[[str], None], tmp_path: Path, source: StoreRegistry, percent: int
) -> None:
    require("tmpfs")
    digest = make_bundle(source, model=MODEL)
    with mounted(tmp_path / "disk", "size=4M") as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes((4 << 20) - (len(MODEL) + 65536) * percent // 100))
        target = open_folder(f"dir://{disk}/registry")
        with pytest.raises(RegistryError) as caught:
            copy(source, target, "churn", digest, tag="1.0")
        assert str(caught.value) == (
            f"cannot write to the folder {disk}/registry: its disk is full. "
            "Free space there, then repeat the command; what arrived whole is kept"
        )
        assert caught.value.exit_code == 5
        assert target.digests("churn") == []
        assert target.tags("churn") == {}
        assert [name for name in files_below(disk / "registry") if name.startswith(".tmp/")] == []
        for name in set(files_below(disk / "registry")) - {".lock"}:
            assert name.startswith("blobs/sha256/")
            kept = (disk / "registry" / name).read_bytes()
            assert kept == (tmp_path / "source" / name).read_bytes()
        filler.unlink()
        copy(source, target, "churn", digest, tag="1.0")
        verify_bundle(open_bundle(target, parse_reference("churn:1.0")))


def test_out_of_inodes(require: Callable[[str], None], tmp_path: Path, source: StoreRegistry) -> None:
    require("tmpfs")
    digest = make_bundle(source)
    with mounted(tmp_path / "disk", "size=4M,nr_inodes=14") as disk:
        target = open_folder(f"dir://{disk}/registry")
        with pytest.raises(RegistryError, match="its disk is full"):
            copy(source, target, "churn", digest, tag="1.0")
        assert target.digests("churn") == []
        subprocess.run(["mount", "-o", "remount,nr_inodes=100", disk], check=True)
        copy(source, target, "churn", digest, tag="1.0")
        verify_bundle(open_bundle(target, parse_reference("churn:1.0")))


def test_read_only_file_system(require: Callable[[str], None], tmp_path: Path, source: StoreRegistry) -> None:
    require("tmpfs")
    first, second = make_bundle(source), make_bundle(source, model=b"another")
    with mounted(tmp_path / "disk", "size=4M") as disk:
        target = open_folder(f"dir://{disk}/registry")
        copy(source, target, "churn", first, tag="1.0")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = files_below(disk)
        with pytest.raises(RegistryError) as caught:
            copy(source, open_folder(target.url), "churn", second, tag="1.0")
        assert str(caught.value) == (
            f"cannot write to the folder {disk}/registry: its file system is read-only. "
            "Make it writable, or use another registry"
        )
        assert files_below(disk) == before
        verify_bundle(open_bundle(open_folder(target.url), parse_reference("churn:1.0")))


def as_nobody(work: Callable[[], Any]) -> None:
    """Run `work` in a child without root's powers (or as we are, if we have none)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """`tmp_path`, which nobody can reach."""
    changed = {}
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            changed[folder] = folder.stat().st_mode
            folder.chmod(changed[folder] | 0o011)
    yield tmp_path
    for folder, mode in changed.items():
        folder.chmod(mode & 0o7777)


def test_folder_without_permission(open_path: Path, source: StoreRegistry) -> None:
    digest = make_bundle(source)
    registry = open_path / "registry"
    registry.mkdir(mode=0o555)
    registry.chmod(0o555)

    def push() -> None:
        for url in (f"dir://{registry}", f"dir://{registry}/below"):
            with pytest.raises(RegistryError) as caught:
                copy(source, open_folder(url), "churn", digest, tag="1.0")
            assert str(caught.value) == (
                f"cannot write to the folder {url[6:]}: permission denied. "
                "Get write permission on it, or use another registry"
            )

    as_nobody(push)
    assert files_below(registry) == []


def test_folder_that_cannot_be_read(open_path: Path, source: StoreRegistry) -> None:
    make_bundle(source)
    (open_path / "source").chmod(0o700)

    def look() -> None:
        if os.geteuid() != NOBODY:
            (open_path / "source").chmod(0o000)
        with pytest.raises(RegistryError, match=r"cannot read the folder .*: permission denied"):
            open_folder(source.url).names()
        with pytest.raises(RegistryError, match=r"cannot read the folder .*: permission denied"):
            open_folder(source.url).resolve(parse_reference("churn:1.0"))

    as_nobody(look)
    (open_path / "source").chmod(0o755)
