"""How an error is shown: one line on stderr, or the envelope on stdout with --json."""

from __future__ import annotations

import sys
import traceback

from mlship.cli.run import Run
from mlship.errors import EXIT_INTERRUPTED, MlshipError


def complain(run: Run, kind: str, error: MlshipError, code: int) -> None:
    """Show `error`; with --debug, first where it came from."""
    if run.debug and code != EXIT_INTERRUPTED:
        sys.stderr.write("".join(traceback.format_exception(error)))
    if run.json:
        from mlship.cli.render import print_envelope
        from mlship.result import ErrorInfo

        info = ErrorInfo(kind=kind, what=error.what, cause=error.cause, fix=error.fix)
        print_envelope(run, code, error=info)
        return
    for warning in run.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stderr.write("interrupted\n" if code == EXIT_INTERRUPTED else f"error: {error}\n")
    sys.stderr.flush()
