"""A wrong Python, processor or libc is named before anything of a bundle is loaded."""

from __future__ import annotations

import sys

import pytest

from mlship_runtime.platforms import Platform, misfit, read_platform, this_platform

HERE = Platform("linux", "amd64", (3, 11), (2, 36))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("linux-amd64-cp311-gnu2.28", ""),
        ("linux-amd64-cp311-gnu2.36", ""),
        ("linux-amd64-cp312-gnu2.28", "it needs Python 3.12, this is Python 3.11"),
        ("linux-amd64-cp39-gnu2.28", "it needs Python 3.9, this is Python 3.11"),
        ("linux-arm64-cp311-gnu2.28", "it is for linux on arm64, this is linux on amd64"),
        ("macos-arm64-cp311-14", "it is for macos on arm64, this is linux on amd64"),
        ("linux-amd64-cp311-gnu2.39", "it needs glibc 2.39 or newer, here is 2.36"),
        ("linux-amd64", "'linux-amd64' is not a platform that this mlship knows"),
    ],
)
def test_misfits_are_said_in_one_clause(wanted: str, why: str) -> None:
    assert misfit(wanted, HERE) == why


def test_musl_counts_as_no_glibc() -> None:
    musl = Platform("linux", "amd64", (3, 11), (0, 0))
    assert misfit("linux-amd64-cp311-gnu2.28", musl) == "it needs glibc 2.28 or newer, here is none"


@pytest.mark.parametrize("text", ["linux-amd64-cp311-gnu2.28", "macos-arm64-cp313-14"])
def test_platforms_read_back_as_written(text: str) -> None:
    assert str(read_platform(text)) == text


def test_this_machine_fits_itself() -> None:
    here = this_platform()
    assert here.python == sys.version_info[:2]
    assert misfit(str(here), here) == ""
