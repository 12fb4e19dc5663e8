"""Verbs about credentials for registries."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.errors import UsageError
from mlship.result import Result

_LONGEST = 64 << 10

Host = Annotated[
    str,
    typer.Argument(metavar="HOST", help="HOST[:PORT], or the URL of a registry there.", show_default=False),
]


@verb("""
    mlship login registry.example.com --username ann
    pass show registry | mlship login registry.example.com -u ann --password-stdin
""")
def login(
    run: Run,
    host: Host,
    *,
    username: Annotated[
        str, typer.Option("--username", "-u", metavar="NAME", help="Who you are there.", show_default=False)
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password or token from standard input.")
    ] = False,
) -> Result:
    """Keep credentials for an OCI registry.

    The registry is asked first whether it takes them. They are kept where Docker keeps its own: in the
    keychain that its config.json names, else in that file. Without --password-stdin one is asked for the
    password. MLflow's are in MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN; those of AWS and Azure
    where their own tools keep them.
    """
    from mlship.ops import login as op

    return op.login(run.context, host, username, lambda: _password(run, from_stdin=password_stdin))


@verb("""
    mlship logout registry.example.com
""")
def logout(run: Run, host: Host) -> Result:
    """Forget credentials for an OCI registry.

    Those that Docker has kept for it are the same ones.
    """
    from mlship.ops import login as op

    return op.logout(host)


def _password(run: Run, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read(_LONGEST).removesuffix("\n").removesuffix("\r")
    if run.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("there is no terminal to ask for the password on", fix="Add --password-stdin")
    from getpass import getpass

    run.close()
    return getpass("Password: ", stream=sys.stderr)
