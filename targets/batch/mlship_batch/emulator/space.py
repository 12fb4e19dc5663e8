"""Space: what an allocation asks for, what it may grow to, and the abends of those who want more."""

from __future__ import annotations

from dataclasses import dataclass

TRACK = 56664  # bytes of a 3390
UNITS = {"TRK": TRACK, "CYL": 15 * TRACK, "KB": 1 << 10, "MB": 1 << 20}
EXTENTS = 16


class OutOfSpace(Exception):
    """`code` is the abend: SB37-04 (volume full), SD37-04 (no secondary), SE37-04 (no more extents)."""

    def __init__(self, code: str, dsn: str) -> None:
        super().__init__(f"{code} {dsn}")
        self.code, self.dsn = code, dsn


@dataclass(frozen=True)
class Space:
    """Bytes of the first extent, and of each that may follow."""

    primary: int = 15 * TRACK
    secondary: int = 15 * TRACK

    @property
    def most(self) -> int:
        return self.primary + (EXTENTS - 1) * self.secondary

    def refusal(self) -> str:
        """The abend of one who writes beyond `most`."""
        return "SE37-04" if self.secondary else "SD37-04"


def asked(unit: str, primary: int, secondary: int, block: int) -> Space:
    """Space as SPACE= and z/OSMF ask for it; a number as unit is a block's length. Raises ValueError."""
    size = int(unit) if unit.isdigit() else UNITS.get(unit, block if unit == "BLK" else 0)
    if size < 1 or primary < 0 or secondary < 0:
        raise ValueError(f"space of {primary},{secondary} {unit} cannot be had")
    return Space(_whole_tracks(primary * size), _whole_tracks(secondary * size))


def _whole_tracks(size: int) -> int:
    return -(-size // TRACK) * TRACK
