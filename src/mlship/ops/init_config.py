"""The mlship.toml that `mlship init --model` writes: few settings, and what was seen as comments."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from mlship.config.sections import MAX_GOLDEN_ROWS
from mlship.ops.init_model import Seen

GOLDEN_ROWS = 64
FIRST_VERSION = "0.1.0"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PYTHON = 'python = ".venv/bin/python"'
_TEXT = """\
# Written by mlship init for {file}: {model}, made with {made_with} on Python {python}.
# All sections and keys, with explanations: docs/reference/config.md of mlship.

[project]
name = {name}
version = {version}                 # the tag of the next build
{interpreter}

[model]
source = {source}
# It answers with {answers}.

# A step from raw columns to what the model reads would be said here:
# [reduction]
# step = "reduction:reduce"       # def reduce(columns) in reduction.py
# or graph = "reduce.onnx", or for a pipeline split = 1: its first step reduces

[golden]
# {rows}, of which some become the golden examples: they must come back equal on every target.
from = {examples}
{columns}rows = {golden}

{whole}[targets.local]
type = "local"                    # this machine
"""


def config_text(
    folder: Path, name: str, *, model: Path, examples: Path, seen: Seen, version: str = FIRST_VERSION
) -> str:
    """A commented mlship.toml for `model` and `examples`, whose paths become relative to `folder`."""
    own_python = (folder / ".venv" / "bin" / "python").is_file()
    return _TEXT.format(
        file=model.name,
        model=seen.model,
        made_with=seen.made_with,
        python=seen.python,
        name=_quoted(name),
        version=_quoted(version),
        interpreter=_PYTHON if own_python else f"# {_PYTHON}   # without it: the active virtual environment",
        source=_quoted(_relative(folder, model)),
        answers=f"one of {', '.join(seen.classes)}" if seen.classes else "numbers",
        rows=f"{seen.rows} rows" if seen.rows != 1 else "1 row",
        examples=_quoted(_relative(folder, examples)),
        columns=_columns(seen),
        whole=_whole(seen),
        golden=min(GOLDEN_ROWS, seen.rows, MAX_GOLDEN_ROWS),
    )


def _columns(seen: Seen) -> str:
    if not seen.columns:
        return ""
    width = max(len(_quoted(column.name)) for column in seen.columns) + 2
    listed = [f"  {(_quoted(column.name) + ',').ljust(width)}# {column.holds}" for column in seen.columns]
    out = [f"# The model does not read: {', '.join(seen.left_out)}."] if seen.left_out else []
    return "\n".join([*out, "columns = [", *listed, "]", ""])


def _whole(seen: Seen) -> str:
    """How a column that looked whole takes fractions, said of the first one; nothing where there is none."""
    name = next((column.name for column in seen.columns if column.datatype == "INT64"), None)
    if name is None:
        return ""
    key = name if _BARE.fullmatch(name) else _quoted(name)
    return f"""\
# In columns of whole numbers a request with a fraction (41.5) will be refused. If a column may hold some:
# [schema.{key}]
# type = "FP64"

"""


def _relative(folder: Path, path: Path) -> str:
    return os.path.relpath(path.absolute(), folder.absolute())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
