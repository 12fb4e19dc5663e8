"""--summary FILE: what a command did, or why it could not, added to a file as Markdown.

Made for the summary of a pipeline's job. A section is added by one write, so that commands side by side do
not mix theirs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlship.cli.blocks import Block
from mlship.cli.render_markdown import draw, escape, paragraph
from mlship.cli.run import Run
from mlship.errors import MlshipError, UsageError


def check(file: Path) -> None:
    """Make `file` if it is not there. Raises UsageError if nothing can be added to it."""
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        what = f"the summary cannot be written to {file}"
        raise UsageError(what, cause=error.strerror or "", fix="Name a file: --summary FILE") from error


def tell(run: Run, blocks: Iterable[Block]) -> None:
    """Add what `run` did."""
    _add(run, run.command, draw(blocks))


def tell_failure(run: Run, error: MlshipError) -> None:
    """Add why `run` could not do what it was to do."""
    _add(run, f"{run.command} failed", f"Exit code {error.exit_code}: {paragraph(str(error))}\n\n")


def _add(run: Run, title: str, text: str) -> None:
    """What was done is done: a summary that cannot be written is only a warning."""
    if run.summary is None:
        return
    warned = "".join(f"- {escape(warning)}\n" for warning in run.warnings)
    section = f"### mlship {title}\n\n{text}" + (f"Warnings:\n\n{warned}\n" if warned else "")
    try:
        with run.summary.open("ab", buffering=0) as file:
            file.write(section.encode())
    except OSError as error:
        run.warnings.append(f"the summary could not be written to {run.summary}: {error.strerror}")
