"""Which wheels a runtime needs: uv resolves, per platform, and nothing is installed.

Platforms after the first get the first one's versions as constraints: without them uv silently takes older
versions where the newest has no wheel, and one bundle would run two engines.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlship.bundle.packages.platforms import Wanted
from mlship.errors import BuildError

RUNTIME = ("httptools", "msgspec", "numpy", "orjson", "uvloop")
_ENGINES = {"onnx": ("onnxruntime",), "python": ()}  # a model in Python names its packages itself
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
# No other Python fetched behind our back; and its messages on one line, however narrow the terminal is.
_UV_SETTINGS = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_WRAP": "1"}
_NO_WHEEL = re.compile(r"([A-Za-z0-9._-]+)==\S+ has no wheels|of ([A-Za-z0-9._-]+) have no usable wheels")
_WHERE = re.compile(r"on the following platforms?: (.+)$")
_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")


@dataclass(frozen=True, order=True)
class Wheel:
    """One wheel file by name, version, file name and sha256 (64 hexadecimal digits)."""

    name: str
    version: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Resolved:
    """The wheels of one platform, sorted by name, and where each file (by sha256) can be fetched."""

    wheels: tuple[Wheel, ...]
    urls: Mapping[str, str]


def requirements_of(stated: Iterable[str], engine: str = "onnx") -> tuple[str, ...]:
    """What the runtime and its engine need and what the project states, sorted; raises BuildError for what is
    not a plain requirement (options, paths and URLs do not travel)."""
    found = {*RUNTIME, *_ENGINES[engine]}
    for text in stated:
        plain = " ".join(text.split())
        if not _NAME.match(plain) or "@" in plain or "://" in plain or "/" in plain.partition(";")[0]:
            raise BuildError(
                f"[runtime] requirements has {text!r}",
                cause="only names with versions can be locked",
                fix='Write it as "name" or "name>=1.2", from an index that has wheels',
            )
        found.add(plain)
    return tuple(sorted(found))


def resolve(requirements: Sequence[str], platform: Wanted, pins: Mapping[str, str]) -> Resolved:
    """The wheels for `requirements` on `platform`, at the versions of `pins` where these name a package.

    Raises BuildError with uv's own hint if there is no solution or no network.
    """
    with tempfile.TemporaryDirectory(prefix="mlship-resolve-") as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
        word = f"{platform.platform.system}/{platform.platform.processor}"
        document = _compile(
            requirements,
            ["--python-version", platform.python, "--python-platform", platform.uv_platform],
            constraints,
            what=f"no set of wheels for {platform.name}",
            without=f"drop {word} from [runtime] platforms",
            environment=platform.environment,
        )
    return _read(document, best_only=True)


def locate(wheels: Iterable[Wheel], python: str) -> dict[str, str]:
    """Where the exact files of `wheels` can be fetched, by sha256; those that no index has are left out."""
    pinned = sorted({f"{wheel.name}=={wheel.version}" for wheel in wheels})
    with tempfile.TemporaryDirectory(prefix="mlship-resolve-") as scratch:
        constraints = Path(scratch, "constraints.txt")
        constraints.write_text("")
        document = _compile(
            pinned,
            ["--python-version", python, "--universal", "--no-deps"],
            constraints,
            what="the wheels of mlship.lock cannot be found again",
        )
    return dict(_read(document, best_only=False).urls)


def _compile(
    requirements: Sequence[str],
    options: list[str],
    constraints: Path,
    *,
    what: str,
    without: str = "",
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `uv pip compile`; the index of the user's environment is passed on through the environment, so that
    no password stands in a command line."""
    argv = [
        _uv(), "pip", "compile", "--no-config", "--no-header", "--quiet", "--color", "never", "--no-build",
        "--format", "pylock.toml", "--constraints", str(constraints), *options, "-",
    ]  # fmt: skip
    done = subprocess.run(
        argv,
        input="".join(f"{line}\n" for line in requirements).encode(),
        capture_output=True,
        check=False,
        cwd=constraints.parent,
        env={**os.environ, **_index(), **_UV_SETTINGS, **(environment or {})},
    )
    if done.returncode:
        cause, hint = _explain(done.stderr.decode(errors="replace"), without)
        raise BuildError(what, cause=cause, fix=hint)
    return tomllib.loads(done.stdout.decode())


def _uv() -> str:
    try:
        import uv
    except ImportError as error:
        raise BuildError(
            "uv is not installed beside mlship", fix="Run: pip install 'mlship-toolchain[build]'"
        ) from error
    found: str = uv.find_uv_bin()
    return found


def _index() -> dict[str, str]:
    """The index that the user's environment names, pip's variable included."""
    for name in _INDEX_VARIABLES:
        if value := os.environ.get(name):
            return {"UV_DEFAULT_INDEX": value}
    return {}


def _explain(said: str, without: str) -> tuple[str, str]:
    """Cause and next step from what uv printed: its hint is about the pinned version and says the most.
    `without` is the step that does without the platform, if it is about one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    hints = [line.removeprefix("hint:").strip() for line in lines if line.startswith("hint:")]
    causes = [line.removeprefix("cause:").strip() for line in lines if line.startswith("cause:")]
    first = causes[0] if causes else (lines[0] if lines else "uv said nothing")
    first = re.sub(r"(?i)^because (.*?), we can conclude that .*$", r"\1", first)
    first = re.sub(r"//[^/@\s]+@", "//", first)
    if any("request" in line.lower() or "network" in line.lower() for line in lines[:1] + hints):
        return first, hints[
            0
        ] if hints else "Check the network, or name a reachable index: UV_DEFAULT_INDEX=URL"
    if "not found in the package registry" in first:
        return (
            first,
            "Correct its name in [runtime] requirements, or name the index that has it: UV_DEFAULT_INDEX=URL",
        )
    missing = _NO_WHEEL.search(first)
    if missing and without:
        name, where = missing[1] or missing[2], _WHERE.search(hints[0]) if hints else None
        known = f"; there are some for {where[1]}" if where else ""
        return first + known, f"Name a version of {name} that has wheels there, or {without}"
    return first, hints[0] if hints else "Change [runtime] requirements or platforms"


def _read(document: Mapping[str, Any], *, best_only: bool) -> Resolved:
    wheels: list[Wheel] = []
    urls: dict[str, str] = {}
    for package in document.get("packages", ()):
        name, version = package["name"], package.get("version", "")
        found = [(_file_of(entry), entry) for entry in package.get("wheels", ())]
        if not found:
            raise BuildError(
                f"{name} has no wheel", cause="only wheels from an index can be locked", fix="Leave it out"
            )
        for file, entry in _best(found) if best_only else found:
            sha256 = entry.get("hashes", {}).get("sha256")
            if not sha256:
                raise BuildError(f"the index names no sha256 for {file}", fix="Use an index that does")
            wheels.append(Wheel(name, version, file, sha256))
            urls[sha256] = entry.get("url") or Path(entry["path"]).absolute().as_uri()
    return Resolved(tuple(sorted(wheels)), urls)


def _best(found: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """One of several wheels that fit: with native code before pure Python, then by file name."""
    return [min(found, key=lambda pair: (pair[0].endswith("-any.whl"), pair[0]))]


def _file_of(entry: Mapping[str, Any]) -> str:
    place = entry.get("name") or entry.get("path") or urlsplit(entry.get("url", "")).path
    return unquote(PurePosixPath(str(place)).name)
