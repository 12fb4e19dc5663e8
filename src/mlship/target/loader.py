"""Finds adapters by entry point (group `mlship.targets`), the built-in ones like a stranger's."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from mlship.errors import TargetError, UsageError
from mlship.target.protocol import Adapter, Place

GROUP = "mlship.targets"


def load_adapter(kind: str, place: Place) -> Adapter:
    """The adapter `kind` bound to `place`.

    Raises UsageError for a type that nobody offers, TargetError that names the extra if a package is
    missing.
    """
    found: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        raise UsageError(
            f"target {place.name} is of type {kind!r}, which no installed adapter offers",
            fix=f"Installed types: {', '.join(sorted(found)) or 'none'}",
        )
    try:
        factory = found[kind].load()
    except ModuleNotFoundError as missing:
        raise TargetError(
            f"target {kind!r} needs a package that is not installed ({missing.name})",
            fix=f"pip install 'mlship-toolchain[{kind}]'",
        ) from missing
    adapter: Adapter = factory(place)
    return adapter
