"""The verb that scores files of rows."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlship.cli.record_words import CodePage, Lrecl, Names, Recfm, Record
from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Bundle
from mlship.errors import UsageError
from mlship.result import Result

_Rows = Annotated[
    str, typer.Option("--in", metavar="FILE|-", help="Rows: .csv, .tsv, .jsonl, .parquet; - is stdin.")
]
_Answers = Annotated[str, typer.Option("--out", metavar="FILE|-", help="Where the answers go; - is stdout.")]
_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="csv, jsonl or parquet, where a suffix does not tell; csv:jsonl for in and out.",
        show_default=False,
    ),
]
_Keep = Annotated[
    str, typer.Option("--keep", metavar="COLUMNS", help="Copy these columns to the output, e.g. id,region.")
]
_NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first line of a CSV file is a row already.")
]
_Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter", metavar="CHAR", help="Of CSV; a tab in .tsv, else a comma.", show_default=False
    ),
]
_Bad = Annotated[
    str, typer.Option("--bad", metavar="FILE", help="Write bad rows there, with line and reason.")
]
_MaxBad = Annotated[
    int, typer.Option("--max-bad", metavar="N", min=0, help="So many may be bad; 0 stops at the first.")
]
_Report = Annotated[
    str, typer.Option("--report", metavar="FILE", help="Write counts, sums and checksums there, as JSON.")
]
_Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=0, help="Processes; 0 is one for each core.")
]
_Threads = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, help="Of each process, for a large model.")
]
_Copybook = Annotated[
    str, typer.Option("--copybook", metavar="FILE", help="The rows are COBOL records, as it describes them.")
]
_OutCopybook = Annotated[
    str,
    typer.Option(
        "--out-copybook", metavar="FILE", help="So are the answers. A field of the rows' is copied."
    ),
]
_Totals = Annotated[
    str,
    typer.Option("--totals", metavar="FILE", help="Control totals of written records, as JSON and as .dat."),
]
_Force = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew where a run was interrupted.")]


@verb("""
    mlship score --in rows.csv --out scores.csv
    mlship score churn:1.4 --in rows.csv --out scores.csv --keep id,region
    mlship score churn:1.4 --in cust.dat --out scores.dat --copybook cust.cpy --out-copybook scores.cpy
    mlship score churn:1.4 --in rows.jsonl --out scores.csv --bad bad.jsonl --max-bad 100
    cat rows.csv | mlship score churn:1.4 --in - --out - --format csv:jsonl
""")
def score(
    run: Run,
    bundle: Bundle = None,
    rows: _Rows = "",
    answers: _Answers = "",
    form: _Format = None,
    keep: _Keep = "",
    no_header: _NoHeader = False,
    delimiter: _Delimiter = None,
    bad: _Bad = "",
    max_bad: _MaxBad = 0,
    report: _Report = "",
    workers: _Workers = 0,
    threads: _Threads = 1,
    copybook: _Copybook = "",
    out_copybook: _OutCopybook = "",
    code_page: CodePage = None,
    recfm: Recfm = None,
    record: Record = "",
    lrecl: Lrecl = 0,
    names: Names = None,
    totals: _Totals = "",
    force: _Force = False,
    fresh: _Fresh = False,
) -> Result | None:
    """Score a file of rows with a bundle, on this machine.

    The first line of CSV names the columns; those that the model does not read are let be. A run that was
    interrupted, killed even, goes on where it stopped when the same command is given again: no row is missing
    or there twice. Answers stand in the order of their rows, one column for each output.
    """
    from mlship.ops import score as op
    from mlship.ops.record_forms import Said
    from mlship_runtime.scoring.job import Job

    for name, value in (("--in", rows), ("--out", answers)):
        if not value:
            raise UsageError(f"{name} is missing", fix="Name a file, or - for a stream")
    if answers == "-" and run.json:
        raise UsageError("--json and --out - both write to stdout", fix="Add --report FILE instead of --json")
    tabs = rows.endswith(".tsv") or (rows == "-" and answers.endswith(".tsv"))
    taken, _, given = (form or "").partition(":")
    job = Job(
        input=rows,
        output=answers,
        inputFormat=taken,
        outputFormat=given or taken,
        keep=tuple(name.strip() for name in keep.split(",") if name.strip()),
        header=not no_header,
        delimiter=delimiter or ("\t" if tabs else ","),
        bad=bad,
        maxBad=max_bad,
        report=report,
        workers=workers,
        threads=threads,
        force=force,
        fresh=fresh,
        totals=totals,
    )
    said = Said(record=record, code_page=code_page, recfm=recfm, lrecl=lrecl, names=tuple(names or ()))
    done = op.score(run.context, bundle, job, (copybook, out_copybook), said)
    if answers != "-":
        return done
    run.close()
    sys.stderr.write(f"{done.rows_out} rows scored, {done.rows_bad} bad\n")
    return None
