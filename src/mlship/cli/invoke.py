"""The verb that asks a target for predictions, and where its rows come from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Release, Target
from mlship.errors import UsageError
from mlship.result import Result

CSV, JSON = "text/csv", "application/json"


@verb("""
    mlship invoke prod --csv rows.csv
    mlship invoke prod --data '{"instances": [{"age": 41, "plan": "pro"}]}'
    mlship invoke prod --data @request.json
    cat rows.csv | mlship invoke prod -
""")
def invoke(
    run: Run,
    target: Target = None,
    stdin: Annotated[
        str | None, typer.Argument(metavar="-", help="Read JSON or CSV from stdin.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON|@FILE", help="The request.", show_default=False),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Rows, with a header line.", show_default=False),
    ] = None,
    release: Release = None,
) -> Result:
    """Send rows to a target and print its answer.

    JSON is a request of the Open Inference Protocol V2, or has instances, inputs, dataframe_split or
    dataframe_records. Of CSV, only the columns are sent that [golden] columns lists, where it is set.
    """
    from mlship.ops import invoke as op
    from mlship.ops.input_columns import only_inputs

    if target == "-" and stdin is None:
        target, stdin = None, "-"
    payload, kind = request(data=data, csv=csv, stdin=stdin)
    if kind == CSV:
        payload = only_inputs(run.context, payload)
    return op.invoke(run.context, target, payload, kind, release)


def request(*, data: str | None, csv: Path | None, stdin: str | None) -> tuple[bytes, str]:
    """The body and its content type, from exactly one of the three places. Raises UsageError, also if there
    is nothing in it."""
    body, kind, place = _given(data=data, csv=csv, stdin=stdin)
    if not body.strip():
        raise UsageError(f"{place} is empty: nothing was given", fix="See mlship invoke --help")
    return body, kind


def _given(*, data: str | None, csv: Path | None, stdin: str | None) -> tuple[bytes, str, str]:
    """The body, its content type, and the place in words."""
    if stdin not in (None, "-"):
        raise UsageError(f"{stdin!r} is too much", fix="Rows come from --data, --csv or - (stdin)")
    given = [place for place in (data, csv, stdin) if place is not None]
    if len(given) != 1:
        what = "nothing to send" if not given else "rows come from one place only"
        raise UsageError(what, fix="Give one of --data JSON, --data @FILE, --csv FILE, or - for stdin")
    if csv is not None:
        return _read(csv), CSV, str(csv)
    if stdin is not None:
        body = sys.stdin.buffer.read()
        return body, JSON if body.lstrip()[:1] in (b"{", b"[") else CSV, "stdin"
    assert data is not None  # noqa: S101 - one of three was given
    if data.startswith("@"):
        return _read(Path(data[1:])), JSON, data[1:]
    return data.encode(), JSON, "--data"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=error.strerror or "") from error
