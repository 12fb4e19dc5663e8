"""What `[quality]` asks of a bundle: which of its outputs, about which classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from mlship.bundle.quality.metrics import METRICS, Metric
from mlship.config import Project
from mlship.config.sections import QualitySection
from mlship.errors import ConfigError, UsageError
from mlship_runtime.bundle.spec import Spec, TensorSpec

REST = ""  # the class of all rows that are not of the only one that is rated
_SECOND: dict[tuple[str, ...], str] = {("0", "1"): "1", ("False", "True"): "True"}


@dataclass(frozen=True)
class Asked:
    """`classes` are those of the columns of `output`, or all that a label can be; empty where the bundle does
    not say, and for numbers. `answer` is the type of the known answers."""

    metric: Metric
    output: TensorSpec
    answer: TensorSpec
    classes: tuple[str, ...]
    positive: str

    @property
    def rates_one(self) -> bool:
        """Whether the output is one number for each row: the probability of `positive`."""
        return self.metric.reads == "probabilities" and _width(self.output) == 1

    def about(self, project: Project, truth: Sequence[str]) -> Asked:
        """Of which class the metric is, now that the true ones are known. Raises ConfigError if somebody has
        to say."""
        known = self.classes or tuple(sorted(set(truth)))
        if self.positive or not self.metric.one_class or len(known) > 2:
            return self
        found = "True" if self.answer.datatype == "BOOL" else _SECOND.get(tuple(known), "")
        if not found:
            raise project.error(
                "quality",
                "metric",
                what=f"is of one class, and there are {' and '.join(known)}",
                fix=f'Say which one it is about: positive = "{known[-1]}"',
            )
        return replace(self, positive=found)


def asked_of(project: Project, spec: Spec) -> Asked:
    """What the project's [quality] asks of the bundle of `spec`. Raises UsageError without that section,
    ConfigError if the metric does not fit what the bundle answers."""
    section = quality_of(project)
    metric = METRICS[section.metric]
    output = _named(project, section, spec) if section.output else _only(project, section, metric, spec)
    labels, rated = _labels(spec), [tensor for tensor in spec.outputs if tensor.classes]
    classes: tuple[str, ...] = ()
    kind = "FP64"
    if metric.reads != "numbers":
        kind = next((label.datatype for label in labels), "BYTES")
        classes = output.classes or (rated[0].classes if len(rated) == 1 else ())
        if metric.reads == "probabilities" and not classes and _width(output) > 1:
            classes = tuple(str(at) for at in range(_width(output)))
    asked = Asked(
        metric, output, TensorSpec(section.answers, kind, (-1,), False), classes, section.positive_text
    )
    _check_positive(project, section, asked)
    return asked


def quality_of(project: Project | None) -> QualitySection:
    """The section [quality]. Raises UsageError where there is none."""
    if project is None or project.quality is None:
        raise UsageError(
            "the gate quality needs [quality] in mlship.toml, which names rows, a metric and a bound"
            if project
            else "the gate quality needs a project, whose mlship.toml has [quality]"
        )
    return project.quality


def _named(project: Project, section: QualitySection, spec: Spec) -> TensorSpec:
    """By its name, and of a form that the metric can read."""
    found = next((tensor for tensor in spec.outputs if tensor.name == section.output), None)
    metric = METRICS[section.metric]
    if found is None:
        names = ", ".join(tensor.name for tensor in spec.outputs)
        raise project.error("quality", "output", what=f"is none of this bundle's: {names}")
    number = found.datatype.startswith("FP")
    fits = {
        "numbers": found.datatype not in ("BYTES", "BOOL") and _width(found) == 1 and not found.classes,
        "probabilities": number and _width(found) > 0,
        "decisions": bool(found.classes) or (not number and _width(found) == 1),
    }
    if not fits[metric.reads]:
        raise _misfit(project, section, metric, spec)
    return found


def _only(project: Project, section: QualitySection, metric: Metric, spec: Spec) -> TensorSpec:
    """The one output that the metric can read. One number for each row is a probability only if that is
    said."""
    rated = [tensor for tensor in spec.outputs if tensor.classes]
    plain = [t for t in spec.outputs if t.datatype.startswith("FP") and _width(t) == 1 and not t.classes]
    found = {"numbers": plain, "probabilities": rated, "decisions": _labels(spec) or rated}[metric.reads]
    if not found:
        raise _misfit(project, section, metric, spec)
    if len(found) > 1:
        names = ", ".join(tensor.name for tensor in found)
        raise project.error(
            "quality", "metric", what=f"could be of {names}", fix="Name one: output = in [quality]"
        )
    return found[0]


def _misfit(project: Project, section: QualitySection, metric: Metric, spec: Spec) -> ConfigError:
    answers = ", ".join(f"{tensor.name} ({tensor.datatype})" for tensor in spec.outputs)
    return project.error(
        "quality",
        "metric",
        what=f"= {section.metric} reads {metric.reads}",
        cause=f"{spec.name}:{spec.version} answers {answers}",
        fix="Choose another metric, or name the output that is meant: output = in [quality]",
    )


def _check_positive(project: Project, section: QualitySection, asked: Asked) -> None:
    used = asked.metric.one_class or section.metric == "roc_auc" or asked.rates_one
    if asked.positive and not used:
        raise project.error("quality", "positive", what=f"says nothing to {section.metric}")
    if asked.positive and asked.classes and asked.positive not in asked.classes:
        known = ", ".join(asked.classes)
        raise project.error("quality", "positive", what=f"is no class of this bundle's: {known}")
    if asked.rates_one and not asked.positive:
        raise project.error(
            "quality",
            "output",
            what=f"= {asked.output.name} rates one class",
            fix="Say which: positive = in [quality]",
        )


def _labels(spec: Spec) -> list[TensorSpec]:
    return [t for t in spec.outputs if not t.datatype.startswith("FP") and _width(t) == 1 and not t.classes]


def _width(tensor: TensorSpec) -> int:
    """Values in a row; below 1 where that is free."""
    return prod(tensor.shape[1:])
