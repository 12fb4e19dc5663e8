"""requirements.lock is what pyproject.toml asks for, with hashes, and names no index and no machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_lock_fits_the_project(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(CHECKOUT / name, tmp_path)
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    words = re.search(r"^LOCK_WITH := (.*)$", makefile, re.MULTILINE)
    assert words
    uv, files = Path(sys.prefix, "bin", "uv"), ("--output-file", "requirements.lock", "pyproject.toml")
    done = subprocess.run(
        [uv, "pip", "compile", *words[1].split(), "--quiet", *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    renewed = (tmp_path / "requirements.lock").read_text(encoding="utf-8")
    assert renewed == (CHECKOUT / "requirements.lock").read_text(encoding="utf-8"), "make lock, and commit it"


def test_the_lock_is_portable() -> None:
    text = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|^\s*-|^/", text.replace("    --hash", ""), re.MULTILINE)
    names = re.findall(r"^[a-z][\w.-]*==", text, re.MULTILINE)
    followed_by_hash = re.findall(r"^[a-z][\w.-]*==[^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(names) == len(followed_by_hash) > 20
