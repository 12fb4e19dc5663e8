"""The whole emulator: its folder, its server, and how both are put together."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from mlship_batch.emulator.catalog import Catalog
from mlship_batch.emulator.faults import Faults
from mlship_batch.emulator.generations import Generations
from mlship_batch.emulator.in_use import InUse
from mlship_batch.emulator.run.jes import Jes, Parts
from mlship_batch.emulator.web import data_sets, files, jobs
from mlship_batch.emulator.web.data_sets import RestDataSets
from mlship_batch.emulator.web.files import RestFiles
from mlship_batch.emulator.web.jobs import RestJobs
from mlship_batch.emulator.web.server import Server, with_tls
from mlship_runtime.files import take_lock


@dataclass
class Options:
    """`folder` keeps everything; `users` have their names in capitals; `tls` is certificate and key;
    `capacity` is that of the volume, in bytes."""

    folder: Path
    users: dict[str, str]
    host: str = "127.0.0.1"
    port: int = 0
    tls: tuple[str, str] | None = None
    capacity: int = 1 << 34
    faults: Faults = field(default_factory=Faults)


class Emulator:
    """Runs from `start` to `close`. One at a time has a folder: SiteError for a second. OSError for a port
    that is taken or a certificate that is none."""

    def __init__(self, options: Options) -> None:
        folder = options.folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(folder / "lock", f"{folder}", timeout=0)
        self.options, self.faults = options, options.faults
        self.home = folder / "uss"
        self.home.mkdir(exist_ok=True)
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        self.catalog = Catalog(
            folder / "catalog", options.capacity, lambda dsn: self.faults.data_set("full", dsn)
        )
        self.generations, self.in_use = Generations(self.catalog), InUse()
        parts = Parts(self.catalog, self.generations, self.in_use, self.faults, self.home, scratch)
        self.server = Server((options.host, options.port), options.users, self.faults)
        if options.tls:
            with_tls(self.server, *options.tls)
        self.jes = Jes(folder / "jobs", parts)
        self.server.interfaces = {
            jobs.ROOT: RestJobs(self.jes, self.catalog, self.url).answer,
            data_sets.ROOT: (
                sets := RestDataSets(self.catalog, self.generations, self.in_use, self.faults)
            ).answer,
            data_sets.AMS: sets.answer,
            files.ROOT: RestFiles(self.home).answer,
        }
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self.options.tls else 'http'}://{self.options.host}:{self.server.port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """What runs is cancelled; everything is on the disk."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(30)
        self.jes.close()
        os.close(self._lock)
