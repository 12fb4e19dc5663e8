"""How images are named, and what a folder of images gives for a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from base_images import BaseLayout, root_files, tar_of

from mlship.errors import RegistryError, UsageError
from mlship.image.places import parse_folder, parse_image, read_named

DIGEST = "sha256:" + "a" * 64
NAMES = {
    "python": ("oci://docker.io/library/python", "latest", ""),
    "python:3.11-slim": ("oci://docker.io/library/python", "3.11-slim", ""),
    "ann/python:3": ("oci://docker.io/ann/python", "3", ""),
    "docker.io/library/python:3": ("oci://docker.io/library/python", "3", ""),
    "localhost/python": ("oci://localhost/python", "latest", ""),
    "127.0.0.1:5000/team/python:3.11": ("oci://127.0.0.1:5000/team/python", "3.11", ""),
    "oci+http://registry.local/python:3": ("oci+http://registry.local/python", "3", ""),
    f"registry.example.com/p@{DIGEST}": ("oci://registry.example.com/p", "", DIGEST),
    f"registry.example.com/p:3@{DIGEST}": ("oci://registry.example.com/p", "3", DIGEST),
    "./base": ("base", "", ""),
    "./base:3.11": ("base", "3.11", ""),
    "/images/base": ("/images/base", "", ""),
    f"../base@{DIGEST}": ("../base", "", DIGEST),
}


@pytest.mark.parametrize("text", NAMES)
def test_names(text: str) -> None:
    name = parse_image(text)
    place = str(Path(name.place)) if name.is_folder else name.place
    assert (place, name.tag, name.digest) == NAMES[text]


BAD = [
    "", "Python:3", "python:", "python:3 11", "p\nython", "a/../b", "$(id)", "p;id", "`id`", 'p"', "-x",
    "https://registry.example.com/p", "registry.example.com:99999/p", "ann:secret@registry.example.com/p",
    "python@sha256:12", "registry.example.com:5000/", "p@" + DIGEST.upper(),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as told:
        parse_image(text)
    assert "secret" not in str(told.value)


def test_folders_to_write_to() -> None:
    assert str(parse_folder("churn.oci", "1.4")) == "churn.oci:1.4"
    assert str(parse_folder("churn.oci:live", "1.4")) == "churn.oci:live"
    for text in ("registry.example.com/churn:a b", f"x@{DIGEST}", "oci://x/y"):
        with pytest.raises(UsageError):
            parse_folder(text, "1.4")


def test_a_folder_with_an_image_needs_no_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not parse_image("base:1").is_folder
    BaseLayout(tmp_path / "base")
    assert parse_image("base:1").is_folder


def test_tags_of_a_folder(tmp_path: Path) -> None:
    layout = BaseLayout(tmp_path / "base")
    tag = "org.opencontainers.image.ref.name"
    one = layout.image([tar_of(root_files())])
    two = layout.image([tar_of(root_files(python="3.12"))])
    layout.name({**one, "annotations": {tag: "1"}}, {**two, "annotations": {tag: "2"}})

    def read(end: str) -> bytes:
        name = parse_image(f"{tmp_path}/base{end}")
        return read_named(name.open(), name)

    assert read(":1") == layout.path(one["digest"]).read_bytes()
    assert read(f"@{two['digest']}") == layout.path(two["digest"]).read_bytes()
    with pytest.raises(UsageError, match=r"has several images\. Name one of 1, 2"):
        read("")
    with pytest.raises(RegistryError, match="there is no image"):
        read(":3")
    layout.path(two["digest"]).write_bytes(b"{}")
    with pytest.raises(RegistryError, match="is not what its digest says"):
        read(f"@{two['digest']}")


def test_what_is_no_layout(tmp_path: Path) -> None:
    name = parse_image(f"{tmp_path}/nothing")
    with pytest.raises(RegistryError, match="is no image layout"):
        read_named(name.open(), name)
