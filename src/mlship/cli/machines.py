"""The group of verbs about a target itself, apart from what runs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlship.cli.run import Run
from mlship.cli.verb import group, verb
from mlship.cli.words import Target, Yes
from mlship.errors import PolicyError, UsageError
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.ops.trust_machines import MachineKeys


@verb("""
    mlship target trust prod
    mlship target trust prod --fingerprint SHA256:Qe1...   in CI: no other key is taken
""")
def trust(
    run: Run,
    target: Target = None,
    yes: Yes = False,
    fingerprint: Annotated[
        list[str] | None,
        typer.Option(
            "--fingerprint",
            metavar="SHA256:...",
            help="Pin the key that has it, without asking; can be repeated.",
            show_default=False,
        ),
    ] = None,
) -> Result:
    """Show the host keys of a target's machines, and pin them.

    They are written to a file beside mlship.toml (known_hosts); commit it. From then on mlship talks to no
    machine that shows another key. Compare the fingerprint with what the machine itself says:
    ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    """
    from mlship.ops import trust_machines as op

    seen = op.look(run.context, target)
    if seen.open and not fingerprint:
        _ask(run, seen, yes=yes)
    return op.pin(run.context, seen, fingerprint or ())


def _ask(run: Run, seen: MachineKeys, *, yes: bool) -> None:
    """Raises PolicyError for a changed key and --yes alone: whoever says yes to all has not looked."""
    from mlship.cli.machines_views import told

    lines = [line for machine in seen.open for line in told(machine)]
    fix = "Compare it with what the machine says itself, then give --fingerprint SHA256:..."
    if yes and seen.alarming:
        raise PolicyError("a host key has changed, and --yes is not enough", cause="; ".join(lines), fix=fix)
    if not yes and not run.can_ask:
        raise UsageError("nobody is here to compare a host key", cause="; ".join(lines), fix=fix)
    run.confirm("\n".join([*lines, "Pin it?" if len(seen.open) == 1 else "Pin them?"]), yes=yes)


@group("mlship target trust prod", trust=trust)
def target() -> None:
    """Trust the machines of a target."""
