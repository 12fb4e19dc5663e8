"""The projects that `mlship init` copies, from the installed package or from a checkout."""

from __future__ import annotations

from pathlib import Path

from mlship.errors import UsageError

_PACKAGED = Path(__file__).parent / "_templates"  # in a wheel
_CHECKOUT = Path(__file__).parents[2] / "templates"  # in an editable install: force-include does not reach it
_LEFTOVERS = ("__pycache__", ".mlship", ".venv")


def folder(name: str) -> Path:
    """The folder of a template. Raises UsageError if there is none of that name."""
    for root in (_PACKAGED, _CHECKOUT):
        if (root / name / "mlship.toml").is_file():
            return root / name
    raise UsageError(
        f"there is no template {name!r}", fix="mlship init takes a folder, and nothing else by name"
    )


def files(name: str) -> list[tuple[str, bytes]]:
    """Relative path and content of each file of a template, sorted by path."""
    root = folder(name)
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    named = [(path.relative_to(root), path) for path in paths]
    return [
        (str(inner), path.read_bytes()) for inner, path in named if not set(inner.parts) & set(_LEFTOVERS)
    ]
