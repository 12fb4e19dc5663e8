"""The verb that asks a target for predictions, and where its rows come from."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Release, Target
from mlship.errors import UsageError
from mlship.result import Result

CSV, JSON = "text/csv", "application/json"


class Via(Enum):
    """By which way the live release is asked."""

    endpoint = "endpoint"
    tunnel = "tunnel"


@verb("""
    mlship invoke prod --csv rows.csv
    mlship invoke prod --data '{"instances": [{"age": 41, "plan": "pro"}]}'
    mlship invoke prod --data @request.json
    cat rows.csv | mlship invoke prod -
    mlship invoke prod --csv rows.csv --via endpoint --token-file token --ca ca.crt
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
    via: Annotated[
        Via | None,
        typer.Option(
            "--via",
            help="An endpoint that is reached from here, or the connection to the host. "
            "Without it: the one, else the other.",
            show_default=False,
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Holds the bearer token. Without it: MLSHIP_TOKEN, or none.",
            show_default=False,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca", metavar="FILE", help="Certificates to trust, not the system's.", show_default=False
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", help="This side's own certificate.", show_default=False),
    ] = None,
    cert_key: Annotated[
        Path | None, typer.Option("--cert-key", metavar="FILE", help="And its key.", show_default=False)
    ] = None,
) -> Result:
    """Send rows to a target and print its answer.

    JSON is a request of the Open Inference Protocol V2, or has instances, inputs, dataframe_split or
    dataframe_records. Of CSV, only the columns are sent that [golden] columns lists, where it is set.
    """
    from mlship.ops import invoke as op
    from mlship.ops.input_columns import only_inputs
    from mlship.ops.ways import Caller

    if target == "-" and stdin is None:
        target, stdin = None, "-"
    payload, kind = request(data=data, csv=csv, stdin=stdin)
    if kind == CSV:
        payload = only_inputs(run.context, payload)
    files = {"token_file": token_file, "ca": ca, "certificate": cert, "key": cert_key}
    caller = Caller(**{name: str(file) for name, file in files.items() if file})
    return op.invoke(
        run.context, target, payload, kind, release, caller=caller, via=via.value if via else None
    )


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
