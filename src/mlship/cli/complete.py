"""Shell completion of targets, bundles and registries: reads mlship.toml only, and never fails."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def targets(incomplete: str) -> list[str]:
    """Names of targets; `local` is always there."""
    return _starting({*_section("targets"), "local"}, incomplete)


def registries(incomplete: str) -> list[str]:
    """Names of registries."""
    return _starting({*_section("registries"), "default"}, incomplete)


def bundles(incomplete: str) -> list[str]:
    """What this project builds."""
    project = _section("project")
    name, version = project.get("name"), project.get("version", "0.1.0")
    return _starting({f"{name}:{version}"}, incomplete) if name else []


def places(incomplete: str) -> list[str]:
    """What `list` takes: a registry or a bundle's name."""
    name = _section("project").get("name")
    return sorted({*registries(incomplete), *_starting({str(name)} if name else set(), incomplete)})


def policed(incomplete: str) -> list[str]:
    """What can have a policy: registries and targets."""
    return sorted({*registries(incomplete), *targets(incomplete)})


def _starting(words: set[str], incomplete: str) -> list[str]:
    return sorted(word for word in words if word.startswith(incomplete))


def _section(name: str) -> dict[str, Any]:
    here = Path.cwd()
    for folder in (here, *here.parents):
        try:
            value = tomllib.loads((folder / "mlship.toml").read_text(encoding="utf-8")).get(name, {})
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}
    return {}
