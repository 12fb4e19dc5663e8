"""Verbs about domains: what may cross from one to another, and what did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlship.cli import complete
from mlship.cli.run import Run
from mlship.cli.verb import group, verb
from mlship.cli.words import NamedBundle, PassphraseFile, optional
from mlship.errors import UsageError
from mlship.result import Result

PLACE = "A registry (its name or URL) or a target. registry:NAME or target:NAME where both are called so."
PolicyFile = Annotated[Path, typer.Argument(metavar="FILE", help="A policy.toml.")]
Place = Annotated[str, typer.Argument(metavar="PLACE", help=PLACE, autocompletion=complete.policed)]


@verb("""
    mlship policy check policy.toml
""")
def check(run: Run, file: PolicyFile) -> Result:
    """Read a policy file and say what is wrong with it."""
    from mlship.ops import policy as op

    return op.check(file)


@verb("""
    mlship policy set team policy.toml --key security.key
    mlship policy set target:prod policy.toml --key security.key
""")
def set_(
    run: Run,
    *,
    place: Place,
    file: PolicyFile,
    key_file: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Sign it with this private key.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> Result:
    """Let a file be the policy of a registry or target.

    Its version must be higher than that of the policy that is there. Where [trust] of mlship.toml names keys,
    one of them signs it, and everybody who trusts that key obeys it.
    """
    from mlship.ops import policy as op

    return op.set_policy(run.context, place, file, key_file, passphrase_file)


@verb("""
    mlship policy show
    mlship policy show team
""")
def show(
    run: Run,
    place: Annotated[
        str | None,
        optional("PLACE", PLACE + " Without it: policy.toml of this project.", complete.policed),
    ] = None,
) -> Result:
    """Show the policy of a place, and who signed it."""
    from mlship.ops import policy as op

    return op.show(run.context, place)


@verb("""
    mlship policy explain churn:1.4 team
    mlship policy explain team/churn:1.4 prod --json
    mlship policy explain churn:1.4 file
""")
def explain(
    run: Run,
    bundle: NamedBundle,
    to: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="Where to: " + PLACE[0].lower() + PLACE[1:] + " file is a file.",
            autocompletion=complete.policed,
        ),
    ],
) -> Result:
    """Say whether a bundle may go somewhere: by which rule, and what it would need."""
    from mlship.ops import policy as op

    return op.explain(run.context, bundle, to)


@verb("""
    mlship policy audit
    mlship policy audit team --verify
    mlship policy audit team --holds sha256:1f0c...
""")
def audit(
    run: Run,
    place: Annotated[
        str | None,
        optional("PLACE", PLACE + " Without it: what this machine has noted itself.", complete.policed),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no record was changed, moved or removed.")
    ] = False,
    holds: Annotated[
        str | None,
        typer.Option(
            "--holds",
            metavar="DIGEST",
            help="Check also that this record, noted before, is in it.",
            show_default=False,
        ),
    ] = None,
) -> Result:
    """Show what has crossed, and what was refused."""
    from mlship.digest import is_digest
    from mlship.ops import policy as op

    if holds is not None and not is_digest(holds):
        raise UsageError(f"{holds!r} is not a digest", fix="mlship policy audit --verify prints the last one")
    return op.audit(run.context, place, verify=verify, holds=holds)


@group(
    """
    mlship policy check policy.toml
    mlship policy set team policy.toml --key security.key
    mlship policy explain churn:1.4 team
    mlship policy audit team --verify
    """,
    check=check,
    set=set_,
    show=show,
    explain=explain,
    audit=audit,
)
def policy() -> None:
    """What may cross between domains, and what did.

    A registry or target keeps its policy itself; policy.toml in a project can only tighten it.
    """
