"""The verb about bearer tokens."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.errors import UsageError
from mlship.result import Result


class TokenAction(StrEnum):
    """What to do with the tokens of a file."""

    new = "new"
    list = "list"
    revoke = "revoke"


@verb("""
    mlship token new churn.tokens reporting
    mlship token list churn.tokens
    mlship token revoke churn.tokens reporting
""")
def token(
    run: Run,
    action: Annotated[TokenAction, typer.Argument(help="new, list or revoke.", metavar="ACTION")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file that `tokens` of a target names.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who has the token.")] = "",
) -> Result:
    """Make, list and revoke the bearer tokens of a service.

    They open its external listener. new prints the token, this once: FILE has only its hash. A running
    service reads FILE again when it changes, so a token is exchanged without a gap: make another, give it
    away, revoke the first.
    """
    from mlship.ops import token as op

    if action is TokenAction.list:
        return op.show(file)
    if not name:
        raise UsageError(f"token {action} needs a NAME", fix=f"mlship token {action} {file} NAME")
    return op.new(file, name) if action is TokenAction.new else op.revoke(file, name)
