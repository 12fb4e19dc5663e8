"""What `mlship init` copies, projects and pipelines, from the installed package or from a checkout."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from mlship.errors import UsageError

_PACKAGED = Path(__file__).parent / "_templates"  # in a wheel
_CHECKOUT = Path(__file__).parents[2] / "templates"  # in an editable install: force-include does not reach it
_LEFTOVERS = ("__pycache__", ".mlship", ".venv")
_PART = re.compile(r"^ *# \[if ([a-z0-9 -]+)\]\n(.*?)^ *# \[end\]\n", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"__([A-Z]+)__")


def folder(name: str) -> Path:
    """The folder of a template. Raises UsageError if there is none of that name."""
    for root in (_PACKAGED, _CHECKOUT):
        if (root / name).is_dir():
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


def filled(text: str, parts: Collection[str], words: Mapping[str, str]) -> str:
    """`text` with `words` for each `__WORD__`. Of what stands between `# [if a b]` and `# [end]` only that is
    kept of which one name is in `parts`. Whoever calls answers for words that mean nothing where they stand.
    """
    kept = _PART.sub(lambda found: found[2] if set(found[1].split()) & set(parts) else "", text)
    return _WORD.sub(lambda found: words[found[1]], kept)
