"""The signature that a target is to check itself, for whom it may trust; the ground floor does it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlship_runtime.trust.keys import PublicKey


@dataclass(frozen=True)
class Demand:
    """A signature file that was found to hold here, and the keys that count."""

    keys: tuple[PublicKey, ...]
    envelope: bytes = field(repr=False)

    def request(self) -> dict[str, Any]:
        """What `mlship_runtime.trust.demand` reads."""
        return {
            "keys": [key.pem.decode("ascii") for key in self.keys],
            "signatures": [self.envelope.decode("utf-8")],
        }
