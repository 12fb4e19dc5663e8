"""What a file of skops names, read from its description; skops is not asked, and nothing is imported.

Source: skops.io, protocol 2 (schema.json: nodes with `__module__` and `__class__`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from mlship_runtime.errors import InvalidBundle

SCHEMA = "schema.json"
_MOST = 64 << 20  # bytes of the description


def named_in_skops(data: bytes) -> tuple[str, ...]:
    """The types and functions that a skops file names, sorted; nothing is imported. Raises InvalidBundle."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if archive.getinfo(SCHEMA).file_size > _MOST:
                raise ValueError(f"{SCHEMA} is too large")
            document = json.loads(archive.read(SCHEMA))
        return tuple(sorted(set(_named(document))))
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InvalidBundle("the model is no file of skops", cause=cause) from error


def _named(document: Any) -> Iterator[str]:
    """Every pair of module and class or function; those of `constructor`s, too."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting.extend(node.values())
            for module, name in (("__module__", "__class__"), ("module_path", "function")):
                if module in node:
                    yield f"{node[module]}.{node.get(name)}"
        elif isinstance(node, list):
            waiting.extend(node)
