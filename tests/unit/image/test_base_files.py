"""What is found in a base's layers, as an engine would see them one upon the other."""

from __future__ import annotations

import pytest
from base_images import Entry, libc, python_file, root_files, tar_of

from mlship.image.base_files import BaseFiles, Interpreter, files_of
from mlship_runtime.bundle.ustar import ChunkStream


def found(*layers: dict[str, Entry]) -> BaseFiles:
    return files_of((ChunkStream([tar_of(layer)]), "a layer") for layer in layers)


def paths(files: BaseFiles) -> list[str]:
    return [x.path for x in files.interpreters]


def test_a_debian() -> None:
    files = found(root_files())
    assert files.interpreters == (Interpreter(path="/usr/bin/python3.11", minor=11, processor="amd64"),)
    assert (files.libc, files.musl, files.complete) == ((2, 36), False, (11,))
    assert files.libraries == ("libstdc++.so.6", "libgcc_s.so.1")
    assert files.roots == ("etc", "lib", "tmp", "usr")


UPPER: dict[str, tuple[dict[str, Entry], list[str]]] = {
    "nothing": ({}, ["/usr/bin/python3.11"]),
    "the file hidden": ({"usr/bin/.wh.python3.11": b""}, []),
    "its folder hidden": ({"usr/.wh.bin": b""}, []),
    "its folder emptied": ({"usr/bin/.wh..wh..opq": b""}, []),
    "another folder emptied": ({"usr/lib/.wh..wh..opq": b""}, ["/usr/bin/python3.11"]),
    "its folder a file": ({"usr/bin": b""}, []),
    "its folder a link": ({"usr/bin": "/opt"}, []),
    "replaced by a link to nothing": ({"usr/bin/python3.11": "/nowhere/python3.11"}, []),
    "another one beside": (
        {"usr/local/bin/python3.12": python_file()},
        ["/usr/bin/python3.11", "/usr/local/bin/python3.12"],
    ),
    "a link to it": (
        {"opt/python3.11": "../usr/bin/python3.11"},
        ["/opt/python3.11", "/usr/bin/python3.11"],
    ),
    "a link to itself": ({"opt/python3.11": "python3.11"}, ["/usr/bin/python3.11"]),
    "a folder of that name": ({"opt/python3.11": None}, ["/usr/bin/python3.11"]),
}


@pytest.mark.parametrize("name", UPPER)
def test_upper_layers_replace_and_hide(name: str) -> None:
    upper, expected = UPPER[name]
    assert paths(found(root_files(), upper)) == expected


def test_a_root_that_is_hidden_is_gone() -> None:
    assert found({"model/x": b""}, {".wh.model": b""}).roots == ()
    assert found({"model/x": b""}).roots == ("model",)


def test_of_two_libcs_the_older_counts() -> None:
    assert found(root_files(), {"opt/lib/libc-2.31.so": libc("2.31")}).libc == (2, 31)


def test_musl() -> None:
    files = found({"lib/ld-musl-x86_64.so.1": b"\x7fELF", "usr/bin/python3.11": python_file()})
    assert (files.libc, files.musl) == (None, True)


def test_what_is_no_program_has_no_processor() -> None:
    assert found({"usr/bin/python3.11": b"#!/bin/sh\n"}).interpreters[0].processor == ""
    assert found({"usr/bin/python3.11": python_file("arm64")}).interpreters[0].processor == "arm64"
