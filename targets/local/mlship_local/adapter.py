"""`local` is the hosted adapter with this machine as its host."""

from __future__ import annotations

import sys
from pathlib import Path

from mlship.host.local import LocalHost
from mlship.target.hosted import HostedAdapter
from mlship.target.hosted_settings import HostedSettings
from mlship.target.protocol import Place
from mlship.target.settings import read_settings


def adapter(place: Place) -> HostedAdapter:
    """Bind `local` to a place. Raises ConfigError for settings it does not have."""
    settings = read_settings(place, HostedSettings)
    base = Path(settings.base).expanduser() if settings.base else place.data / "targets" / place.name
    return HostedAdapter(place, settings, LocalHost(), base=str(base.absolute()), python=_interpreter())


def _interpreter() -> str:
    """The interpreter behind the running virtual environment, which may go while a release stays."""
    return str(Path(getattr(sys, "_base_executable", "") or sys.executable).resolve())
