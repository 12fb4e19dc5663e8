"""`make demo`: a model's life with mlship, told with its command line alone, on real data.

Works in .demo/ (kept for a look round until the next run; wheels are kept between runs), leaves no process
behind, and ends with 1 as soon as something is not as told.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from terminal import NotAsToldError, Shell, edit, heading, processes_of, say, stop_on_terminate
from traffic import Traffic, requests_of

HOME = Path(__file__).resolve().parents[1] / ".demo"
PROJECT = HOME / "tumours"
MODEL = PROJECT.name
V1, V2, V3 = "1.0.0", "1.1.0", "1.2.0"
UNHEALTHY, PENDING = 8, 3  # exit codes

FEWER_TREES, MORE_TREES = "n_estimators=80", "n_estimators=160"
UNIT_OF_THE_MACHINE = """\
import os

UNIT = {"mm": 1.0, "inch": 25.4}[os.environ.get("UNIT", "inch")]
MEDIANS ="""


class Demo:
    """The chapters, in order; `digests` knows each version's bundle."""

    def __init__(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLSHIP_")}
        environment |= {
            "MLSHIP_HOME": str(HOME / "home"),
            "MLSHIP_CACHE": str(HOME / "cache"),
            "VIRTUAL_ENV": sys.prefix,  # as if `source .venv/bin/activate` had been typed
            "PATH": f"{sys.prefix}/bin{os.pathsep}{environment.get('PATH', os.defpath)}",
        }
        environment.pop("UNIT", None)
        self.shell = Shell(HOME, environment)
        self.digests: dict[str, str] = {}

    def start(self) -> None:
        heading("A project: breast-cancer measurements, a reduction step, a gradient-boosted model")
        self.shell.run("mlship", "init", PROJECT.name)
        self.shell.folder = PROJECT
        edit(PROJECT / "mlship.toml", "port = 8080", "port = 0")
        self.shell.run("python", "train.py")
        say("Port 0: the service takes a free port once and keeps it, so that the demo disturbs nobody.")

    def ship_first(self) -> None:
        heading("Version 1: build, push, deploy, ask")
        self.build(V1)
        self.shell.run("mlship", "push")
        self.shell.run("mlship", "deploy", "local", f"{MODEL}:{V1}")
        lines = (PROJECT / "rows.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        (PROJECT / "two.csv").write_text("".join(lines[:3]), encoding="utf-8")
        self.shell.run("mlship", "invoke", "local", "--csv", "two.csv")
        self.expect_live(V1)
        say(
            "The bundle runs in a process of its own with its own packages. Before it got the port, it had "
            "to give the answers that were recorded at build time."
        )

    def upgrade(self) -> None:
        heading("Version 2: more trees, deployed while two clients keep asking")
        edit(PROJECT / "train.py", FEWER_TREES, MORE_TREES)
        self.version(V1, V2)
        self.shell.run("python", "train.py")
        self.build(V2)
        self.shell.run("mlship", "push")
        self.shell.run("mlship", "plan", "local", "--detailed-exitcode", code=PENDING)
        say("A plan changes nothing; exit code 3 says that there is something to do.")
        with self.traffic() as traffic:
            time.sleep(1)
            self.shell.run("mlship", "deploy", "local")
            time.sleep(1)
        self.tell(traffic, served={V1, V2})
        self.expect_live(V2)

    def refuse(self) -> None:
        heading("Version 3: works on my machine")
        edit(PROJECT / "reduction.py", "MEDIANS =", UNIT_OF_THE_MACHINE)
        edit(
            PROJECT / "reduction.py",
            "fill(columns[name], median) for",
            "UNIT * fill(columns[name], median) for",
        )
        self.version(V2, V3)
        self.build(V3, setting={"UNIT": "mm"})
        say("It answers well here, where UNIT is set. Nobody sets it where the release runs.")
        with self.traffic() as traffic:
            time.sleep(1)
            self.shell.run("mlship", "deploy", "local", code=UNHEALTHY)
            time.sleep(1)
        self.tell(traffic, served={V2})
        self.expect_live(V2)
        say("The golden examples came back different on the target: refused, and version 2 never stopped.")

    def go_back(self) -> None:
        heading("Back to version 1, and what happened so far")
        with self.traffic() as traffic:
            self.shell.run("mlship", "rollback", "local")
            time.sleep(1)
        self.tell(traffic, served={V1, V2})
        self.expect_live(V1)
        self.shell.run("mlship", "history", "local")
        say("The history is kept at the target, not on the machine that deploys.")

    def end(self) -> None:
        heading("The end")
        self.shell.run("mlship", "list")
        self.shell.run("mlship", "destroy", "local", "--yes")
        self.shell.run("mlship", "status", "local")
        if left := processes_of(HOME):
            raise NotAsToldError(f"still running: {left}")
        say("Nothing runs any more; the bundles are in the registry, and the history tells the rest.")

    def version(self, old: str, new: str) -> None:
        edit(PROJECT / "mlship.toml", f'version = "{old}"', f'version = "{new}"')

    def build(self, version: str, setting: dict[str, str] | None = None) -> None:
        self.shell.run("mlship", "build", setting=setting)
        built = json.loads((PROJECT / ".mlship" / "built.json").read_text(encoding="utf-8"))
        self.digests[version] = built["digest"]

    def traffic(self) -> Traffic:
        return Traffic(self.endpoint(), MODEL, requests_of(PROJECT / "rows.csv"))

    def endpoint(self) -> str:
        return str(self.status()["endpoints"][0]["url"])

    def status(self) -> dict[str, Any]:
        done = self.shell.quietly("mlship", "status", "local", "--json")
        return json.loads(done.stdout)["result"]

    def expect_live(self, version: str) -> None:
        live = self.status()["live"]
        if not live or live["digest"] != self.digests[version]:
            raise NotAsToldError(f"version {version} should be live, and status says {live}")

    def tell(self, traffic: Traffic, served: set[str]) -> None:
        """Show what the clients saw; NotAsToldError if a request failed or another version answered."""
        versions = {digest: version for version, digest in self.digests.items()}
        for client, counts in traffic.counts.items():
            by = ", ".join(f"{n} by {versions.get(digest, digest)}" for digest, n in counts.answers.items())
            print(
                f"    client with {client:15} {counts.requests:5} requests, {len(counts.failures)} failed "
                f"({by}; slowest {counts.slowest * 1000:.0f} ms)"
            )
        if traffic.failures:
            raise NotAsToldError(f"{len(traffic.failures)} requests failed, the first: {traffic.failures[0]}")
        seen = {versions.get(digest, digest) for digest in traffic.answers()}
        if seen != served:
            raise NotAsToldError(f"answers should come from {sorted(served)}, and came from {sorted(seen)}")

    def put_away(self) -> None:
        """Stop what still runs, whatever went wrong before."""
        if PROJECT.is_dir() and processes_of(HOME):
            self.shell.folder = PROJECT
            self.shell.quietly("mlship", "destroy", "local", "--yes", "--purge")
            if left := processes_of(HOME):
                print("still running:", *left, sep="\n  ", file=sys.stderr)


def main() -> int:
    stop_on_terminate()
    HOME.mkdir(exist_ok=True)
    demo = Demo()
    demo.put_away()  # what a killed demo may have left
    for folder in (PROJECT, HOME / "home"):
        shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    try:
        for chapter in (demo.start, demo.ship_first, demo.upgrade, demo.refuse, demo.go_back, demo.end):
            chapter()
    except (NotAsToldError, OSError) as error:
        print(f"\nNot as told: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    finally:
        demo.put_away()
    print(f"\nAll as told, in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
