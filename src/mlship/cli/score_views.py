"""How a run of `mlship score` looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line

if TYPE_CHECKING:
    from mlship.ops.score import Scored


def scored(result: Scored) -> Iterator[Block]:
    """The counts first; what was let be, and the sums by which two runs can be compared."""
    bad = f", {result.rows_bad} bad" if result.rows_bad else ""
    yield Line(f"{result.rows_out} of {result.rows_in} rows scored{bad}")
    rows = [("bundle", result.bundle), ("output", result.output["path"]), ("sha256", result.output["sha256"])]
    if result.bad_rows is not None:
        rows.append(("bad rows", result.bad_rows["path"]))
    if result.rows_before:
        rows.append(("gone on after", f"{result.rows_before} rows"))
    if result.ignored:
        rows.append(("not read", ", ".join(result.ignored)))
    for name, numbers in result.totals.items():
        missing = f", {numbers['missing']:g} missing" if numbers["missing"] else ""
        total = "beyond every float" if numbers["sum"] is None else f"{numbers['sum']:.12g}"
        rows.append((f"sum of {name}", f"{total}{missing}"))
    rows.append(("rate", f"{result.rows_per_second} rows/s in {result.seconds:.1f} s"))
    yield Facts(rows)
