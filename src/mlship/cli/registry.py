"""Verbs about keeping bundles and naming them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlship.cli import complete
from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import (
    Bundle,
    LimitRate,
    NamedBundle,
    NearRegistry,
    PassphraseFile,
    Platforms,
    Registry,
    ScanExcept,
    SignedBy,
    Yes,
)
from mlship.errors import BundleError, UsageError
from mlship.result import Result


@verb("""
    mlship list
    mlship list churn
    mlship list team
    mlship list churn:stable --history
""")
def list(  # noqa: A001 - a function is named like its verb
    run: Run,
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="REGISTRY|NAME",
            help="A registry, or a bundle's name. Without it: the default one and this project's builds.",
            autocompletion=complete.places,
            show_default=False,
        ),
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="Show where tags were, and who moved them."),
    ] = False,
) -> Result:
    """List bundles and tags."""
    from mlship.ops import list as op

    if history and place is None:
        raise UsageError("--history is about a bundle", fix="mlship list NAME --history")
    return op.tag_history(run.context, str(place)) if history else op.list_bundles(run.context, place)


@verb(
    """
    mlship push
    mlship push churn:1.4 team
    mlship push churn:1.4 dir:///srv/models
    mlship push --tag pr-17                           a build to be looked at; no other tag moves
""",
    summary=True,
)
def push(
    run: Run,
    bundle: Bundle = None,
    registry: Registry = None,
    tag: Annotated[
        str | None,
        typer.Option("--tag", metavar="TAG", help="Under this tag, not its own.", show_default=False),
    ] = None,
    rate: LimitRate = None,
) -> Result:
    """Copy a bundle to a registry.

    Only what is missing there is sent, and the tag is set last: a broken push leaves nothing half there.
    """
    from mlship.ops import push as op

    return op.push(run.context, bundle, registry, tag=tag, rate=rate)


@verb("""
    mlship pull churn:1.4
    mlship pull churn:1.4 team
    mlship pull churn:1.4 team --platform linux/amd64
""")
def pull(
    run: Run,
    bundle: NamedBundle,
    registry: Registry = None,
    platforms: Platforms = None,
    rate: LimitRate = None,
) -> Result:
    """Copy a bundle from a registry.

    It comes to this project; outside of a project, to the default registry. With --platform it comes without
    the packages of others, and can be deployed but not pushed on.
    """
    from mlship.ops import pull as op

    return op.pull(run.context, bundle, registry, platforms=platforms or (), rate=rate)


@verb("""
    mlship copy team/churn:1.4 prod
    mlship copy team dir:///srv/mirror
""")
def copy(
    run: Run,
    what: Annotated[
        str,
        typer.Argument(
            metavar="REF|REGISTRY",
            help="A bundle, after REGISTRY/ if need be, or a registry: all that it has tagged.",
            autocompletion=complete.places,
        ),
    ],
    registry: Annotated[
        str,
        typer.Argument(
            metavar="REGISTRY", help="Where to: a name or a URL.", autocompletion=complete.registries
        ),
    ],
    rate: LimitRate = None,
) -> Result:
    """Copy a bundle, or a whole registry, to another.

    Between any two kinds; digests stay, and only what is missing is sent.
    """
    from mlship.ops import copy as op

    return op.copy(run.context, what, registry, rate=rate)


@verb(
    """
    mlship promote churn:candidate prod --require signature,parity,scan
    mlship promote churn:candidate prod --require quality --key release.key
    mlship promote team/churn:1.4 prod --require signature --signed-by release
""",
    summary=True,
)
def promote(
    run: Run,
    bundle: NamedBundle,
    new_tag: Annotated[str, typer.Argument(metavar="TAG", help="The tag that moves.")],
    require: Annotated[
        str,
        typer.Option(
            metavar="GATES", help="What it must pass: signature, parity, scan, quality.", show_default=False
        ),
    ] = "",
    signed_by: SignedBy = None,
    scan_except: ScanExcept = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="The private key that attests the quality.", show_default=False
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> Result:
    """Move a tag to a bundle that passes what is required.

    If it does not, the tag stays where it is. Who moved it, when and from where: list NAME:TAG --history,
    where the registry keeps it.
    quality measures it on the rows of [quality], here; with --key, a target can ask for what was found.
    """
    from mlship.ops import promote as op

    return op.promote(
        run.context,
        bundle,
        new_tag,
        require=[gate.strip() for gate in require.split(",") if gate.strip()],
        signed_by=signed_by or (),
        scan_except=scan_except or (),
        key_file=key_file,
        passphrase_file=passphrase_file,
    )


@verb("""
    mlship untag churn:1.3
    mlship untag team/churn:old --yes
""")
def untag(run: Run, bundle: NamedBundle, yes: Yes = False) -> Result:
    """Take a tag away.

    The bundle stays until gc, and what runs it goes on.
    """
    from mlship.ops import untag as op

    run.confirm(f"Remove the tag {bundle}?", yes=yes)
    return op.untag(run.context, bundle)


@verb("""
    mlship gc --dry-run
    mlship gc team --yes
    mlship gc --keep-untagged --yes
""")
def gc(
    run: Run,
    registry: NearRegistry = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
    keep_untagged: Annotated[
        bool, typer.Option("--keep-untagged", help="Keep bundles that no tag names.")
    ] = False,
    yes: Yes = False,
) -> Result:
    """Remove what no tag reaches.

    Bundles that no tag names, and content that no bundle has. Safe while others push. What runs on targets is
    not touched: they have their own copy.
    """
    from mlship.ops import gc as op

    if not dry_run:
        run.confirm(f"Remove what no tag reaches from {registry or 'the registries near at hand'}?", yes=yes)
    return op.gc(run.context, registry, dry_run=dry_run, keep_untagged=keep_untagged)


@verb("""
    mlship fsck
    mlship fsck team --repair --from mirror
""")
def fsck(
    run: Run,
    registry: NearRegistry = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Fetch what is damaged or missing from another registry.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="REGISTRY",
            help="From this one; without it, from those that are known here.",
            autocompletion=complete.registries,
            show_default=False,
        ),
    ] = None,
) -> Result:
    """Read a registry to its last byte; mend it.

    Says what is damaged or missing, with exit code 4 if it stays so.
    """
    from mlship.ops import fsck as op

    if source is not None and not repair:
        raise UsageError("--from is where --repair fetches from", fix="Add --repair")
    report = op.fsck(run.context, registry, repair=repair, source=source)
    run.exit_code = 0 if report.ok else BundleError.exit_code
    return report


@verb("""
    mlship tag churn:1.4 stable
    mlship tag team/churn@sha256:1f0c... stable
""")
def tag(
    run: Run,
    bundle: NamedBundle,
    new_tag: Annotated[str, typer.Argument(metavar="TAG", help="The new tag; it moves if it is there.")],
) -> Result:
    """Give a bundle another tag."""
    from mlship.ops import tag as op

    return op.tag(run.context, bundle, new_tag)
