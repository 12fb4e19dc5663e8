"""What a target takes from nobody: models that were not converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.errors import PolicyError

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.config import TargetSection


def refuse_forbidden(section: TargetSection, bundle: OpenBundle) -> None:
    """Raise PolicyError if `forbid` of the target names what the bundle's model is."""
    spec = bundle.spec
    for word in section.forbid:
        if word in (spec.engine, spec.form):
            raise PolicyError(
                f"{bundle.reference} is not for this target, which forbids {word}",
                cause=f"its model is a {spec.form} file, which runs code when it is loaded",
                fix="Ship a model that is converted to ONNX, or change forbid of the target",
            )
