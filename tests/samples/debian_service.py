"""A service on a whole Debian host, as a user there has it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steady_clients import SteadyClients

from mlship.errors import TargetError
from mlship.target.conformance import deploy, open_ledger, serves
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place
from mlship.target.rollout import Rollout
from mlship_runtime.onhost.units import Units
from mlship_runtime.supervision.layout import Site

PATIENCE = 60.0  # seconds
PATH = "/v2/models/conform/infer"


@dataclass
class Service:
    """One service on one host, or on `others`, too, as one user there sees it."""

    host: Any
    user: str
    folder: Path
    others: tuple[Any, ...] = ()

    def adapter(self, **changed: Any) -> Any:
        hosts = (self.host, *self.others)
        (self.folder / "known_hosts").write_text("".join(f"{x.ip} {x.host_key}\n" for x in hosts))
        settings = {
            "hosts": [str(host.address_of(self.user)) for host in hosts],
            "key": str(self.host.key),
            "host": "0.0.0.0",
            "workers": 2,
            "ready_timeout": PATIENCE,
            "drain_timeout": 5.0,
            **changed,
        }
        return load_adapter(
            "ssh", Place("there", "conform", settings=settings, data=self.folder, project=self.folder)
        )

    def deploy(self, bundle: Any, **changed: Any) -> Any:
        adapter = self.adapter(**changed)
        return deploy(adapter, open_ledger(adapter), bundle)

    def purge(self, **changed: Any) -> None:
        adapter = self.adapter(**changed)
        Rollout(adapter, open_ledger(adapter), None, why="destroy", purge=True).run()

    def serves(self) -> str:
        """The digest that is served, as soon as something is."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return serves(self.adapter())
            except TargetError:
                assert time.monotonic() < end, self.adapter().observe()
                time.sleep(0.2)

    def clients(self, bundle: Any) -> SteadyClients:
        """Of a service that has `bundle` live, on all its hosts."""
        golden = bundle.golden()
        where = [endpoint.url for endpoint in self.adapter().observe().endpoints]
        return SteadyClients(where, PATH, {"inputs": golden["inputs"]}, kept=6, once=0)

    @property
    def units(self) -> Units:
        """As the host names them."""
        scope = "system" if self.user == "root" else "user"
        base = "/var/lib/mlship" if self.user == "root" else f"/home/{self.user}/.local/share/mlship"
        return Units(Site(Path(base)).service("conform"), scope)

    def systemctl(self, *words: str, check: bool = True) -> str:
        as_user = ["runuser", "-u", self.user, "--", "env", "XDG_RUNTIME_DIR=/run/user/1001"]
        own = ["--user"] if self.user != "root" else []
        before = as_user if self.user != "root" else []
        return str(self.host.run(*before, "systemctl", *own, *words, check=check))

    def supervisor(self) -> str:
        return self.systemctl("show", "--property=MainPID", "--value", self.units.service).strip()

    def workers(self) -> set[int]:
        seen = self.adapter().observe()
        return {worker.pid for worker in seen.vitals.workers}

    def settled(self) -> None:
        """Wait until it is kept and well again."""
        end = time.monotonic() + PATIENCE
        while not (seen := self.adapter().observe()).healthy:
            assert time.monotonic() < end, seen.problems
            time.sleep(0.2)


def traces(host: Any) -> list[str]:
    """Every file on the host that speaks of mlship by its name, every process, unit and user of it."""
    outside = ["(", "-path", "/proc", "-o", "-path", "/sys", ")", "-prune", "-o"]
    asked = [
        ["find", "/", "-xdev", *outside, "-name", "*mlship*", "-print"],
        ["find", "/run", "-name", "*mlship*"],
        ["pgrep", "-f", "mlship_runtime/boot"],
    ]
    if host.kind == "systemd":
        asked.append(["systemctl", "list-units", "--all", "--plain", "--no-legend", "*mlship*"])
    return [line for words in asked for line in str(host.run(*words, check=False)).splitlines()]
