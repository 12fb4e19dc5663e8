"""How an error is shown: one line on stderr, or the envelope on stdout with --json."""

from __future__ import annotations

import sys
import traceback

from mlship.cli.run import Run
from mlship.errors import EXIT_INTERRUPTED, MlshipError


def complain(run: Run, error: MlshipError) -> None:
    """Show `error`; with --debug, first where it came from."""
    interrupted = error.exit_code == EXIT_INTERRUPTED
    if run.debug and not interrupted:
        sys.stderr.write("".join(traceback.format_exception(error)))
    if run.json:
        from mlship.cli.render import print_envelope
        from mlship.result import ErrorInfo

        info = ErrorInfo(kind=error.kind, what=error.what, cause=error.cause, fix=error.fix)
        print_envelope(run, error.exit_code, error=info)
        return
    for warning in run.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stderr.write("interrupted\n" if interrupted else f"error: {error}\n")
    sys.stderr.flush()
