"""How logs look while they grow: lines on standard output, what happens to them on standard error."""

from __future__ import annotations

import sys
from contextlib import closing

from mlship.cli.render import show_at_once
from mlship.cli.run import Run
from mlship.cli.terminal import harmless
from mlship.ops.follow import Followed, Following


def show_following(run: Run, following: Following) -> None:
    """Until Ctrl-C or the last host is lost. With --json each line is an object, and the envelope comes
    last."""
    several = len(following.hosts) > 1
    followed: dict[str, int | None] = {}
    with closing(iter(following)) as each:  # type: ignore[type-var]
        for said in each:
            if run.json:
                show_at_once(run, said)
            elif said.event == "line":
                of = "" if said.release == followed.get(said.host) else f"release {said.release} | "
                sys.stdout.write((f"{said.host} | " if several else "") + of + harmless(said.line) + "\n")
            elif not run.quiet:
                sys.stdout.flush()
                sys.stderr.write(f"-- {said.host}: {harmless(_words(said))}\n")
            if said.event == "follows":
                followed[said.host] = said.release
            sys.stdout.flush()


def _words(said: Followed) -> str:
    if said.event == "follows":
        return f"release {said.release}" + (" is live" if said.live else ", which is not live")
    if said.event == "back":
        return "the connection is back"
    if said.event == "lost":
        return f"the connection is lost, trying again: {said.line}"
    return f"given up: {said.line}"
