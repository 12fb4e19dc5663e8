"""The folder store: conditional writes, keys, errors that say what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.errors import BundleError, RegistryError, UsageError
from mlship.store.folder import SMALL, FolderStore
from mlship.store.keys import check_key, check_prefix
from mlship_runtime.store import disk, folder


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(f"dir://{tmp_path}/deep/store")


def whole(store: FolderStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(store.read(key, start, length))


def leftovers(store: FolderStore) -> list[Path]:
    return list((store.root / ".tmp").iterdir())


def test_reading_makes_nothing(store: FolderStore) -> None:
    assert store.stat("a") is None
    assert store.get("a") is None
    assert list(store.list("")) == []
    assert not store.delete_if_match("a", "x")
    with pytest.raises(RegistryError, match="has no a/b"):
        whole(store, "a/b")
    assert not store.root.exists()
    assert not store.root.parent.exists()


def test_write_if_absent(store: FolderStore) -> None:
    assert store.write_if_absent("a/b", [b"one", b"", b"two"], 6)
    assert not store.write_if_absent("a/b", [b"other"])
    assert whole(store, "a/b") == b"onetwo"
    assert (store.root / "a" / "b").stat().st_mode & 0o777 == 0o444
    stat = store.stat("a/b")
    assert stat is not None
    assert stat.size == 6
    assert leftovers(store) == []


def test_what_is_there_is_not_asked_for_again(store: FolderStore) -> None:
    def never() -> Iterator[bytes]:
        yield pytest.fail("asked for the content")

    store.write_if_absent("a", [b"1"])
    assert not store.write_if_absent("a", never())


@pytest.mark.parametrize("size", [5, 7])
def test_another_size_than_announced(store: FolderStore, size: int) -> None:
    with pytest.raises(RegistryError, match=f"6 bytes came for a where {size} were announced"):
        store.write_if_absent("a", [b"onetwo"], size)
    assert store.stat("a") is None
    assert leftovers(store) == []


def test_a_source_that_fails_leaves_nothing(store: FolderStore) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"first"
        raise BundleError("damaged")

    with pytest.raises(BundleError, match="damaged"):
        store.write_if_absent("a", breaks())
    assert list(store.list("")) == []
    assert leftovers(store) == []


def test_ranges(store: FolderStore) -> None:
    data = os.urandom((2 << 20) + 5)
    store.write_if_absent("big", [data])
    assert whole(store, "big") == data
    assert whole(store, "big", 3, 4) == data[3:7]
    assert whole(store, "big", 1 << 20) == data[1 << 20 :]
    assert whole(store, "big", 0, 0) == b""
    assert whole(store, "big", len(data) - 2, 100) == data[-2:]
    assert whole(store, "big", len(data) + 1) == b""
    assert all(len(chunk) <= 1 << 20 for chunk in store.read("big"))


def test_compare_and_set(store: FolderStore) -> None:
    first = store.write_if_match("tag", b"1", None)
    assert first is not None
    assert store.write_if_match("tag", b"2", None) is None
    assert store.write_if_match("tag", b"2", "another") is None
    second = store.write_if_match("tag", b"2", first)
    assert second is not None
    assert second != first
    assert store.write_if_match("tag", b"3", first) is None
    assert store.get("tag") == (b"2", second)
    stat = store.stat("tag")
    assert stat is not None
    assert stat.version == second
    assert leftovers(store) == []


def test_compare_and_delete(store: FolderStore) -> None:
    version = store.write_if_match("tag", b"1", None)
    assert version is not None
    assert not store.delete_if_match("tag", "another")
    assert store.delete_if_match("tag", version)
    assert store.get("tag") is None
    assert not store.delete_if_match("tag", version)
    assert store.write_if_match("tag", b"1", version) is None
    assert store.write_if_match("tag", b"1", None) == version


def test_limits_of_small_values(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.write_if_match("most", bytes(SMALL), None)
    with pytest.raises(RegistryError, match="too many for more"):
        store.write_if_match("more", bytes(SMALL + 1), None)
    monkeypatch.setattr(folder, "MAX_GET", 10)
    store.write_if_absent("large", [b"01234567890"])
    with pytest.raises(RegistryError, match="too large to be read at once"):
        store.get("large")


def test_list_is_sorted_by_the_whole_key(store: FolderStore) -> None:
    keys = ["a-b", "a/b", "a/b-c", "a/c/d", "a0", "b/a", "_x"]
    for key in keys:
        store.write_if_absent(key, [b""])
    (store.root / "a" / ".hidden").write_bytes(b"")
    (store.root / "a" / "not a key").write_bytes(b"")
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("a")) == ["a-b", "a/b", "a/b-c", "a/c/d", "a0"]
    assert list(store.list("a/")) == ["a/b", "a/b-c", "a/c/d"]
    assert list(store.list("a/b")) == ["a/b", "a/b-c"]
    assert list(store.list("a/c/d")) == ["a/c/d"]
    assert list(store.list("nothing/here/")) == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        ".",
        ".tmp/x",
        ".lock",
        "a/.x",
        "a b",
        "a\\b",
        "a\n",
        "ä",
        "a:b",
        "x" * 513,
    ],
)
def test_keys_that_no_store_takes(store: FolderStore, key: str) -> None:
    for call in (store.stat, store.get, store.file_of, lambda k: store.write_if_absent(k, [b""])):
        with pytest.raises(RegistryError, match="is not a key of a store"):
            call(key)
    assert not store.root.exists()


@given(st.text(max_size=20))
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    for check in (check_key, check_prefix):
        try:
            check(key)
        except RegistryError:
            continue
        assert os.path.normpath(f"/root/{key}").startswith("/root")
        assert not any(part.startswith(".") for part in key.split("/"))


def test_a_planted_link_is_not_followed(store: FolderStore, tmp_path: Path) -> None:
    store.write_if_absent("a", [b"x"])
    (tmp_path / "secret").write_bytes(b"secret")
    (store.root / "link").symlink_to(tmp_path / "secret")
    (store.root / "folder").symlink_to(tmp_path)
    assert store.file_of("link") is None
    with pytest.raises(RegistryError, match="cannot read the folder"):
        store.get("link")
    assert list(store.list("")) == ["a", "folder", "link"]


def test_a_file_is_adopted_without_a_copy(store: FolderStore, tmp_path: Path) -> None:
    source = tmp_path / "layer.tar"
    source.write_bytes(b"content")
    source.chmod(0o444)
    assert store.adopt("blobs/x", source)
    assert not store.adopt("blobs/x", source)
    assert (store.root / "blobs" / "x").samefile(source)


def test_a_file_that_may_change_is_copied(store: FolderStore, tmp_path: Path) -> None:
    source = tmp_path / "layer.tar"
    source.write_bytes(b"content")
    assert store.adopt("blobs/x", source)
    assert not (store.root / "blobs" / "x").samefile(source)
    source.write_bytes(b"changed")
    assert whole(store, "blobs/x") == b"content"


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no hard links."""

    def refuse(*args: object, **more: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("without_links")
def test_without_hard_links(store: FolderStore, tmp_path: Path) -> None:
    source = tmp_path / "layer.tar"
    source.write_bytes(b"content")
    source.chmod(0o444)
    assert store.adopt("blobs/x", source)
    assert whole(store, "blobs/x") == b"content"
    assert store.write_if_absent("a", [b"1"])
    assert not store.write_if_absent("a", [b"2"])
    version = store.write_if_match("tag", b"1", None)
    assert version is not None
    assert store.write_if_match("tag", b"2", None) is None
    assert store.write_if_match("tag", b"2", version)
    assert leftovers(store) == []


def test_old_temporary_files_are_swept(store: FolderStore) -> None:
    store.write_if_absent("a", [b"1"])
    old, young = store.root / ".tmp" / "1-old", store.root / ".tmp" / "1-young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (0, time.time() - 25 * 3600))
    FolderStore(store.url).write_if_absent("b", [b"1"])
    assert leftovers(store) == [young]


def test_a_lock_that_nobody_gives_back(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version = store.write_if_match("tag", b"1", None)
    monkeypatch.setattr(disk, "_LOCK_WAIT", 0.05)
    with disk.locked(store.root / ".lock"), pytest.raises(RegistryError, match="another process holds it"):
        store.write_if_match("tag", b"2", version)
    assert store.write_if_match("tag", b"2", version)


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(RegistryError) as caught:
        FolderStore(f"dir://{tmp_path}/store").write_if_absent("a/b", [b""])
    assert str(caught.value) == (
        f"cannot write to the folder {tmp_path}/store: a part of its path is a file. Name a folder"
    )


@pytest.mark.parametrize("url", ["dir://relative", "dir://", "s3://bucket", "/path", "dir:///a\0b"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of a folder"):
        FolderStore(url)
