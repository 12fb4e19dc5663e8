"""Verbs about keeping bundles and naming them."""

from __future__ import annotations

from typing import Annotated

import typer

from mlship.cli import complete
from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Bundle, NamedBundle, Platforms, Registry
from mlship.result import Result


@verb("""
    mlship list
    mlship list churn
    mlship list team
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
) -> Result:
    """List bundles and tags."""
    from mlship.ops import list as op

    return op.list_bundles(run.context, place)


@verb("""
    mlship push
    mlship push churn:1.4 team
    mlship push churn:1.4 dir:///srv/models
""")
def push(run: Run, bundle: Bundle = None, registry: Registry = None) -> Result:
    """Copy a bundle to a registry.

    Only what is missing there is sent, and the tag is set last: a broken push leaves nothing half there.
    """
    from mlship.ops import push as op

    return op.push(run.context, bundle, registry)


@verb("""
    mlship pull churn:1.4
    mlship pull churn:1.4 team
    mlship pull churn:1.4 team --platform linux/amd64
""")
def pull(run: Run, bundle: NamedBundle, registry: Registry = None, platforms: Platforms = None) -> Result:
    """Copy a bundle from a registry.

    It comes to this project; outside of a project, to the default registry. With --platform it comes without
    the packages of others, and can be deployed but not pushed on.
    """
    from mlship.ops import pull as op

    return op.pull(run.context, bundle, registry, platforms=platforms or ())


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
