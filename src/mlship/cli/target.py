"""Verbs about what runs on targets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import verb
from mlship.cli.words import Bundle, LockTimeout, Release, Target, Yes, target_first
from mlship.errors import EXIT_CHANGES_PENDING
from mlship.result import Result


@verb(
    """
    mlship plan prod
    mlship plan prod churn:1.4 --out churn.plan
    mlship plan prod --detailed-exitcode              in CI: 3 if something would change
""",
    summary=True,
)
def plan(
    run: Run,
    target: Target = None,
    bundle: Bundle = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Save the plan for deploy --plan.", show_default=False),
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="End with 3 if there is something to do.")
    ] = False,
) -> Result:
    """Show what deploy would do; changes nothing.

    Takes no lock and writes nothing on the target. Pre-flight checks are the first part.
    """
    from mlship.ops import plan as op

    report = op.plan(run.context, target_first("plan", target), bundle, out=out)
    if detailed_exitcode and report.changes:
        run.exit_code = EXIT_CHANGES_PENDING
    return report


@verb(
    """
    mlship deploy
    mlship deploy prod churn:1.4
    mlship deploy --plan churn.plan
""",
    summary=True,
)
def deploy(
    run: Run,
    target: Target = None,
    bundle: Bundle = None,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="A saved plan; refused if it no longer fits.", show_default=False
        ),
    ] = None,
    lock_timeout: LockTimeout = 0.0,
) -> Result:
    """Make a target run a bundle, proved there before it switches.

    The golden examples must come back equal on the target before it gets traffic. The old release serves
    until then.
    """
    from mlship.ops import deploy as op

    return op.deploy(run.context, target_first("deploy", target), bundle, plan_file, lock_wait=lock_timeout)


@verb("""
    mlship status
    mlship status prod --json
""")
def status(run: Run, target: Target = None) -> Result:
    """Show what a target runs now."""
    from mlship.ops import status as op

    return op.status(run.context, target)


@verb("""
    mlship history prod
    mlship history prod --at 2026-03-01
""")
def history(
    run: Run,
    target: Target = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="DATE",
            help="What ran then, e.g. 2026-03-01 (at its end) or 2026-03-01T12:00.",
            show_default=False,
        ),
    ] = None,
) -> Result:
    """Show every release of a service, or what ran on a date."""
    from mlship.ops import history as op

    return op.history(run.context, target, at)


@verb("""
    mlship tunnel prod
    mlship tunnel prod --port 9000
""")
def tunnel(
    run: Run,
    target: Target = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
) -> Result | None:
    """Open a local port that leads to a service on its host.

    On the loopback address only, through the connection to the host, until Ctrl-C. For a service that listens
    where this machine does not reach it. With --json its address is one object.
    """
    from mlship.cli.render import show_at_once
    from mlship.ops import tunnel as op

    opened = op.open_tunnel(run.context, target, port=port)
    show_at_once(run, opened.opened)
    opened.carry()
    return None


@verb("""
    mlship logs prod --lines 200
    mlship logs prod --release 3
    mlship logs prod --follow
    mlship logs prod --since 30m
""")
def logs(
    run: Run,
    target: Target = None,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            metavar="N",
            min=1,
            help="How many, from the end: 50, or all with --since.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Only what was written for so long (30m, 2h, 3d), or since a time (2026-11-21T09:30).",
            show_default=False,
        ),
    ] = None,
    release: Release = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
) -> Result | None:
    """Show what a release wrote.

    Followed, it goes on with the next release when that is live. With --json each line is then one object.
    """
    if follow:
        from mlship.cli.follow import show_following
        from mlship.ops import follow as following

        show_following(run, following.follow(run.context, target, release, lines, since))
        return None
    from mlship.ops import logs as op

    return op.logs(run.context, target, release, lines, since)


@verb(
    """
    mlship rollback prod                              to the release before
    mlship rollback prod --to 3
    mlship rollback prod --to churn:1.3
""",
    summary=True,
)
def rollback(
    run: Run,
    target: Target = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="N|REF", help="A release's number, or a bundle.", show_default=False),
    ] = None,
    lock_timeout: LockTimeout = 0.0,
) -> Result:
    """Go back to an earlier release.

    Nothing is sent: the earlier release is still on the target.
    """
    from mlship.ops import rollback as op

    return op.rollback(run.context, target, to, lock_wait=lock_timeout)


@verb("mlship repair prod")
def repair(run: Run, target: Target = None, lock_timeout: LockTimeout = 0.0) -> Result:
    """Finish or undo what an interrupted deploy left."""
    from mlship.ops import repair as op

    return op.repair(run.context, target, lock_wait=lock_timeout)


@verb("mlship force-unlock prod")
def force_unlock(run: Run, target: Target = None, yes: Yes = False) -> Result:
    """Break the lock of a deployer that is gone.

    One that is still at work is stopped by it at its next step.
    """
    from mlship.ops import force_unlock as op

    run.confirm(f"Break the lock of {target or 'the target'}?", yes=yes)
    return op.force_unlock(run.context, target)


@verb("""
    mlship destroy prod
    mlship destroy prod/churn --yes --purge
""")
def destroy(
    run: Run,
    target: Target = None,
    yes: Yes = False,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the history, too.")] = False,
    lock_timeout: LockTimeout = 0.0,
) -> Result:
    """Remove a service from a target.

    Its history stays, unless --purge is given.
    """
    from mlship.ops import destroy as op

    what = "the service and its history" if purge else "the service"
    run.confirm(f"Remove {what} from {target or 'the target'}?", yes=yes)
    return op.destroy(run.context, target, purge, lock_wait=lock_timeout)
