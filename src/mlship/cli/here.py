"""Verbs that work on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Bundle, Target
from mlship.result import Result


@verb("""
    mlship serve
    mlship serve churn:1.4 --port 9000
    mlship serve --reload
""")
def serve(
    run: Run,
    bundle: Bundle = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="0 takes a free one; without it that of [serve], or 8080.",
            show_default=False,
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Build first, and again whenever a file of the project changes.")
    ] = False,
) -> Result | None:
    """Serve a bundle in the foreground, on this machine.

    On the loopback address, until Ctrl-C. [serve] of mlship.toml can set limits, an access log and an
    external listener. To have it run on, use mlship deploy local.
    """
    from mlship.ops import serve as op

    run.exit_code = op.serve(run.context, bundle, port=port, reload=reload)
    return None


@verb("""
    mlship doctor
    mlship doctor prod
""")
def doctor(run: Run, target: Target = None) -> Result:
    """Check this machine, or a target and what runs there."""
    from mlship.errors import TargetError
    from mlship.ops import doctor as op

    diagnosis = op.doctor(run.context, target)
    if not diagnosis.ok:
        run.exit_code = TargetError.exit_code if target else 1
    return diagnosis
