"""What a build was made of, for its provenance: the commit, the files that it read, and this mlship."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

from mlship.config import Project
from mlship.config.files import named_files
from mlship.config.project import FILE_NAME, LOCK_NAME
from mlship.digest import CHUNK

_PATIENCE = 20.0  # seconds for git, which may have much to look through


def materials_of(project: Project) -> list[dict[str, Any]]:
    """The commit, if git has one and nothing in the project's folder differs from it, and the sha256 of the
    files that mlship.toml names. Each is an in-toto resource descriptor."""
    commit = clean_commit(project.root)
    found: list[dict[str, Any]] = [{"name": "source", "digest": {"gitCommit": commit}}] if commit else []
    files = {name: project.root / name for name in (FILE_NAME, LOCK_NAME, *named_files(project))}
    return found + [
        {"name": name, "digest": {"sha256": _sha256(file)}} for name, file in files.items() if file.is_file()
    ]


def clean_commit(root: Path) -> str:
    """The commit that `root` is exactly a copy of; empty if there is none, or no git."""
    changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", ".")
    return (_git(root, "rev-parse", "--verify", "HEAD") or "") if changed == "" else ""


def _git(root: Path, *words: str) -> str | None:
    command = ["git", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _sha256(file: Path) -> str:
    hasher = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
