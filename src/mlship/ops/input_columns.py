"""Rows of a training file as requests: a project's `[golden] columns` say which of its columns are inputs."""

from __future__ import annotations

import csv
import io

from mlship.ops.context import Context


def only_inputs(ctx: Context, rows: bytes) -> bytes:
    """CSV `rows` without columns that the project does not list as inputs, e.g. the label; with a warning.

    Left as they are: rows of no project, of one that lists no columns, without one of the listed columns, or
    that are no CSV. The target has the last word on what it takes.
    """
    wanted = ctx.project.golden.columns if ctx.project else None
    if wanted is None:
        return rows
    try:
        lines = list(csv.reader(io.StringIO(rows.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        return rows
    header = [name.strip() for name in lines[0]] if lines else []
    extra = [name for name in header if name not in wanted]
    if (
        not extra
        or not set(wanted) <= set(header)
        or any(line and len(line) != len(header) for line in lines)
    ):
        return rows
    ctx.warnings.append(f"not sent, for [golden] columns does not list it: {', '.join(extra)}")
    kept = [header.index(name) for name in wanted]
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows([line[at] for at in kept] for line in lines if line)
    return written.getvalue().encode()
