"""What everything of one service on an engine is called, and how it is told from what is not ours.

A container or volume is this service's if it has the name that it would have *and* the labels that say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PREFIX = "vnd.mlship."
TARGET, SERVICE, RELEASE = f"{_PREFIX}target", f"{_PREFIX}service", f"{_PREFIX}release"
INDEX, BUNDLE, REFERENCE = f"{_PREFIX}index", f"{_PREFIX}bundle", f"{_PREFIX}reference"
SETTINGS, SETTINGS_DIGEST = f"{_PREFIX}settings", f"{_PREFIX}settings-digest"
PLATFORM, FENCE = f"{_PREFIX}platform", f"{_PREFIX}fence"
FRONT = "front"  # the value of RELEASE that is no number
_TAG = 12  # digits of an image's digest in its tag


@dataclass(frozen=True)
class Names:
    """Those of (target, service)."""

    target: str
    service: str

    @property
    def front(self) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"mlship-{self.target}-{self.service}")

    @property
    def volume(self) -> str:
        return self.front

    def container(self, number: int, index: int) -> str:
        return f"{self.front}-r{number}-{index}"

    @property
    def repository(self) -> str:
        """Of its images: what engines take as a name is narrower than what a service may be called."""
        return "/".join(
            re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")
            for part in (f"mlship-{self.target}", self.service)
        )

    def tag(self, image: str) -> str:
        """The tag of the image whose digest is `image`."""
        return image.removeprefix("sha256:")[:_TAG]

    def image(self, image: str) -> str:
        return f"{self.repository}:{self.tag(image)}"

    @property
    def labels(self) -> dict[str, str]:
        return {TARGET: self.target, SERVICE: self.service}

    def owns(self, labels: Mapping[str, str] | None) -> bool:
        found = labels or {}
        return all(found.get(key) == value for key, value in self.labels.items())

    def is_front(self, container: Mapping[str, Any]) -> bool:
        """Whether what an engine tells of a container (inspect) is the front of this service."""
        labels = container["Config"]["Labels"]
        return self._is(container, self.front) and labels.get(RELEASE) == FRONT

    def number(self, container: Mapping[str, Any]) -> int | None:
        """The release that a container belongs to; None if to none of this service."""
        labels = container["Config"]["Labels"] or {}
        number, index = labels.get(RELEASE, ""), labels.get(INDEX, "")
        if not (number.isdigit() and index.isdigit()):
            return None
        return int(number) if self._is(container, self.container(int(number), int(index))) else None

    def _is(self, container: Mapping[str, Any], name: str) -> bool:
        return container["Name"] == f"/{name}" and self.owns(container["Config"]["Labels"])
