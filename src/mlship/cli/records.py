"""The group of verbs about COBOL records."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mlship.cli.record_words import By, CodePage, Copybook, Lrecl, Names, Recfm, Record
from mlship.cli.run import Run
from mlship.cli.verb import group, verb
from mlship.cli.words import Bundle
from mlship.errors import UsageError
from mlship.result import Result


class Side(StrEnum):
    """What a copybook is made for."""

    inputs = "inputs"
    outputs = "outputs"


@verb("""
    mlship records describe customer.cpy
    mlship records describe all.cpy --record CUST-REC --json
""")
def describe(run: Run, copybook: Copybook, record: Record = "", names: Names = None) -> Result:
    """Show what a copybook describes: offsets, lengths, types, names of columns."""
    from mlship.ops import records as op
    from mlship.ops.record_forms import Said

    return op.describe(run.context, copybook, Said(record=record, names=tuple(names or ())))


@verb("""
    mlship records copybook churn:1.4
    mlship records copybook churn:1.4 --for inputs --record CUST-REC
""")
def copybook(
    run: Run,
    bundle: Bundle = None,
    side: Annotated[Side, typer.Option("--for", metavar="SIDE", help="inputs or outputs.")] = Side.outputs,
    record: Record = "",
) -> Result:
    """Print a copybook for what a bundle reads or answers."""
    from mlship.ops import records as op

    return op.copybook(run.context, bundle, side.value, record)


@verb("""
    mlship records convert customers.dat customers.csv --copybook customer.cpy
    mlship records convert customers.csv customers.dat --copybook customer.cpy --code-page cp1047
    mlship records convert --to-records rows.parquet rows.dat --copybook customer.cpy
""")
def convert(
    run: Run,
    source: Annotated[str, typer.Argument(metavar="IN", help="A file; - is stdin.")],
    output: Annotated[str, typer.Argument(metavar="OUT", help="A file; - is stdout.")],
    by: By = "",
    to_records: Annotated[
        bool, typer.Option("--to-records", help="IN is no file of records, whatever it is called.")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="csv, jsonl or parquet, of the other file.")
    ] = "",
    record: Record = "",
    code_page: CodePage = None,
    recfm: Recfm = None,
    lrecl: Lrecl = 0,
    names: Names = None,
    bad: Annotated[str, typer.Option("--bad", metavar="FILE", help="Write bad records there.")] = "",
    max_bad: Annotated[int, typer.Option("--max-bad", metavar="N", min=0, help="So many may be bad.")] = 0,
    totals: Annotated[
        str,
        typer.Option("--totals", metavar="FILE", help="Write control totals there, as JSON, and as .dat."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there already.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where a run was interrupted.")] = False,
) -> Result | None:
    """Convert records to CSV, JSON lines or Parquet, or back.

    Which of the two is the file of records shows by the other's suffix. Numbers stay as exact as they are;
    what a field cannot hold is an error with record and field.
    """
    from mlship.ops import records as op
    from mlship.ops.record_forms import Said
    from mlship_runtime.scoring.job import RECORDS, Job

    if not by:
        raise UsageError("--copybook is missing", fix="Name the file that describes the records")
    if output == "-" and run.json:
        raise UsageError("--json and - both write to stdout", fix="Name a file")
    backwards = to_records or source.endswith((".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq"))
    tabs = (source if backwards else output).endswith(".tsv")
    job = Job(
        input=source,
        output=output,
        delimiter="\t" if tabs else ",",
        bad=bad,
        maxBad=max_bad,
        totals=totals,
        force=force,
        fresh=fresh,
        inputFormat=form if backwards else RECORDS,
        outputFormat=RECORDS if backwards else form,
    )
    said = Said(record=record, code_page=code_page, recfm=recfm, lrecl=lrecl, names=tuple(names or ()))
    done = op.convert(run.context, job, by, said, backwards)
    return None if output == "-" else done


@verb("""
    mlship records check customers.dat --copybook customer.cpy
    mlship records check scores.dat --copybook scores.cpy --totals totals.json
""")
def check(
    run: Run,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of records.")],
    by: By = "",
    record: Record = "",
    code_page: CodePage = None,
    recfm: Recfm = None,
    lrecl: Lrecl = 0,
    totals: Annotated[
        str,
        typer.Option(
            "--totals", metavar="FILE", help="Control totals that it must have.", show_default=False
        ),
    ] = "",
) -> Result:
    """Read a file of records to its end: is it whole, is each field what the copybook says?

    Ends with 2 if anything is wrong, and says what was perhaps meant: another code page, other signs,
    records of variable length.
    """
    from mlship.ops import records as op
    from mlship.ops.record_forms import Said

    if not by:
        raise UsageError("--copybook is missing", fix="Name the file that describes the records")
    said = Said(record=record, code_page=code_page, recfm=recfm, lrecl=lrecl)
    found = op.check(run.context, file, by, said, totals)
    run.exit_code = 0 if found.ok else UsageError.exit_code
    return found


@group(
    """
    mlship records describe customer.cpy
    mlship records check customers.dat --copybook customer.cpy
    mlship records convert customers.dat customers.csv --copybook customer.cpy
    mlship records copybook churn:1.4
    """,
    describe=describe,
    copybook=copybook,
    convert=convert,
    check=check,
)
def records() -> None:
    """Describe, check and convert files of COBOL records.

    mlship score --copybook scores them.
    """
