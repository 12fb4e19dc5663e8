"""The files of a service that only writes logs: what `mlship logs` reads, without a process that serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlship_runtime.files import write_json
from mlship_runtime.supervision.layout import Layout, Site
from mlship_runtime.supervision.live import set_live


@dataclass
class LogOfService:
    """One service below `base`."""

    base: Path
    name: str = "churn"

    @property
    def layout(self) -> Layout:
        return Site(self.base).service(self.name)

    def release(self, number: int) -> None:
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        self.layout.releases.mkdir(exist_ok=True)
        write_json(self.layout.record(number), {"schemaVersion": 1})
        self.layout.log(number).touch()

    def live(self, number: int | None) -> None:
        set_live(self.layout, number)

    def write(self, number: int, text: str) -> None:
        with self.layout.log(number).open("a") as file:
            file.write(text + "\n")
