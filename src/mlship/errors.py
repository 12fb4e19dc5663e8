"""Every error that mlship shows, with its exit code.

MlshipError                 1   unexpected
├── UsageError              2   wrong words on the command line
│   └── ConfigError         2   mlship.toml or user settings
├── BundleError             4   bundle invalid or unverified
│   └── BuildError          4   the project cannot be made into a bundle
├── RegistryError           5
│   └── TagMovedError       5   somebody else moved the tag meanwhile
├── TargetError             6
├── LockedError             7   another deploy holds the lock
├── UnhealthyError          8   not healthy, rolled back
├── PolicyError             9
├── Waiting                10   journalled; goes on with --continue
└── NotRestoredError       11   not healthy and not restored: a person is needed

Exit 0 is done, 3 is "changes pending" (a result, not an error), 130 is interrupted.
A message is one line: what happened, the probable cause, the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlship_runtime.errors import RuntimeFault


class MlshipError(Exception):
    """What happened (`what`), its probable `cause` and the next step (`fix`), shown as one line."""

    exit_code = 1
    kind = "unexpected"

    def __init__(self, what: str, *, cause: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.cause, self.fix = (_one_line(text) for text in (what, cause, fix))

    def __str__(self) -> str:
        text = f"{self.what}: {self.cause}" if self.cause else self.what
        return f"{text}. {self.fix}" if self.fix else text


class UsageError(MlshipError):
    exit_code = 2
    kind = "usage"


class ConfigError(UsageError):
    kind = "config"


class BundleError(MlshipError):
    exit_code = 4
    kind = "bundle"


class BuildError(BundleError):
    kind = "build"


class RegistryError(MlshipError):
    exit_code = 5
    kind = "registry"


class TagMovedError(RegistryError):
    kind = "tag-moved"


class TargetError(MlshipError):
    exit_code = 6
    kind = "target"


class LockedError(MlshipError):
    exit_code = 7
    kind = "locked"


class UnhealthyError(MlshipError):
    exit_code = 8
    kind = "unhealthy"


class PolicyError(MlshipError):
    exit_code = 9
    kind = "policy"


class Waiting(MlshipError):
    exit_code = 10
    kind = "waiting"


class NotRestoredError(MlshipError):
    exit_code = 11
    kind = "not-restored"


EXIT_CHANGES_PENDING = 3
EXIT_INTERRUPTED = 130


class MlshipWarning(UserWarning):
    """What the Python API warns of, and the command line says after its result."""


def of_fault(fault: RuntimeFault) -> MlshipError:
    """What the ground floor raised, with its own kind and exit code."""
    kinds = {kind.exit_code: kind for kind in MlshipError.__subclasses__()}
    known = kinds.get(fault.exit_code, MlshipError)(fault.what, cause=fault.cause, fix=fault.fix)
    known.kind, known.exit_code = fault.kind, fault.exit_code
    return known


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
