"""How a release answers: what `mlship serve` and every target that runs the server let be set alike."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from mlship.config.external import External
from mlship.config.limits import ServingLimits


class Answering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`batch_wait` (milliseconds) 0 = requests share no run."""

    batch_wait: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0
    batch_rows: Annotated[int, msgspec.Meta(ge=2, le=65536)] = 32
    access_log: bool = False
    limits: ServingLimits = ServingLimits()
    external: External | None = None

    def answering(self) -> dict[str, Any]:
        """What of it is set, as release records have it."""
        batch = {"wait": self.batch_wait / 1000, "rows": self.batch_rows}
        return {
            **({"batch": batch} if self.batch_wait else {}),
            **({"accessLog": True} if self.access_log else {}),
            **({"external": self.external.of_release()} if self.external else {}),
            **({"limits": self.limits.as_set()} if self.limits.as_set() else {}),
        }
