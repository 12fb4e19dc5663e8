"""Whether a program is a Python, and which."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from mlship.errors import BuildError

_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def version_of(python: Path) -> str:
    """Of the project's interpreter, "3.11"; raises BuildError if it is not one."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-S", "-c", _VERSION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"cannot run the project's Python {python}", cause=str(error)) from error
    version = done.stdout.decode(errors="replace").strip()
    if done.returncode or not re.fullmatch(r"\d+\.\d+", version):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BuildError(
            f"{python} is not a Python",
            cause=said[-1] if said else "",
            fix="Name the project's interpreter in mlship.toml: [project] python",
        )
    return version
