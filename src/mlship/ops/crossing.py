"""A bundle on its way from one place to another, held against all policies that have a say in it.

What is refused is written down and raised before a byte moves. What is allowed is written down before, with
how it ended after. Where nobody speaks of domains, nothing is asked for and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlship.errors import MlshipError
from mlship.ops.context import Context
from mlship.ops.gates import Passed
from mlship.ops.places import Governed, Place, Places, users_log

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.bundle.source import BundleSource
    from mlship.registry.protocol import Registry
    from mlship.trust.audit_log import AuditLog, Entry, Fact, Kind
    from mlship.trust.policy import Policy
    from mlship.trust.residency import Crossing, Decision, Label
    from mlship_runtime.bundle.manifest import Manifest
    from mlship_runtime.bundle.spec import Spec


@dataclass(frozen=True)
class Labels:
    """Those of the bundle, and those that the rows in it have beside."""

    bundle: frozenset[Label]
    examples: frozenset[Label]

    @property
    def shown(self) -> tuple[str, ...]:
        return tuple(str(label) for label in sorted(self.bundle | self.examples))


def labels_of(spec: Spec) -> Labels:
    """What `mlship.json` says."""
    from mlship.trust.residency import Label

    rows = spec.golden.get("labels", {})
    return Labels(
        frozenset(Label(*pair) for pair in spec.labels.items()),
        frozenset(Label(*pair) for pair in rows.items()),
    )


@dataclass(frozen=True)
class Standing:
    """What was found of a crossing: both ends, the policies that decide, and what they say."""

    source: Governed
    to: Governed
    policies: tuple[Policy, ...]
    crossing: Crossing
    labels: Labels
    decision: Decision


class Passage:
    """One bundle (`reference`, `digest`) from `source` to `to`, for the sake of `verb`. `labels` are read
    only if somebody wants to know; `labelled` says whether the manifest tells that there are some."""

    def __init__(
        self,
        ctx: Context,
        verb: str,
        source: Place,
        to: Place,
        bundle: tuple[str, str],
        labels: Callable[[], Labels],
        *,
        labelled: bool,
        places: Places,
    ) -> None:
        self.ctx, self.verb, self.source, self.to = ctx, verb, source, to
        self.reference, self.digest = bundle
        self._labels, self.labelled = labels, labelled
        self.places = places
        self._allowed: list[tuple[AuditLog, Entry]] = []

    @cached_property
    def labels(self) -> Labels:
        return self._labels()

    def look(self) -> Standing | None:
        """What holds now; None if nobody has a say. Raises PolicyError for a policy that is not in order."""
        from mlship.trust.residency import Crossing, with_examples

        places = self.places
        source = places.look(self.source, labelled=self.labelled)
        stays = self.source.url == self.to.url
        to = source if stays else places.look(self.to, labelled=self.labelled)
        own = (places.own_policy,) if places.own_policy else ()
        kept = (end.held.policy for end in ((source,) if stays else (source, to)) if end.held)
        policies = (*own, *kept)
        crossing = Crossing(source.domain, to.domain, frozenset(), stays)
        if not policies and crossing.is_unspoken:
            return None
        crossing = crossing._replace(labels=self.labels.bundle)
        decision = with_examples(crossing, self.labels.examples, policies)
        return Standing(source, to, policies, crossing, self.labels, decision)

    def check(self, *, noted: bool = True) -> Standing | None:
        """Refuse what is not allowed: written down (unless it is only asked for), then raised as
        PolicyError."""
        from mlship.trust.residency import refusal

        found = self.look()
        if found is None:
            return None
        if noted:
            _remember(found)
        if found.decision.allowed:
            return found
        for log in self._logs(found) if noted else ():
            self._refused(log, self._fact(found, "refused"))
        raise refusal(found.decision.verdict, self.reference, self.to.name)

    def passed(self) -> tuple[Passed, ...]:
        """What a plan shows; nothing if nobody has a say. Raises PolicyError for what would be refused, which
        is not written down: nobody has tried."""
        found = self.check(noted=False)
        if found is None:
            return ()
        verdict = found.decision.verdict
        return (Passed(gate="domain", found=f"{verdict.policy}: {verdict.rule}: {verdict.why}"),)

    def begin(self) -> Standing | None:
        """`check`, then write down that it begins, if it is a crossing. Raises RegistryError if the place
        that it goes to cannot write that down."""
        found = self.check()
        if found and not found.crossing.is_within:
            for log in self._logs(found):
                self._allowed.append(self._append(log, self._fact(found, "allowed")))
        return found

    def end(self, error: BaseException | None = None) -> None:
        """Write down how it ended, if its beginning was. What cannot be written is a warning: it is done."""
        for log, entry in self._allowed:
            kind: Kind = "failed" if error else "done"
            why = (str(error) or type(error).__name__)[:500] if error else ""
            fact = replace(entry.fact, kind=kind, of=entry.sequence, why=why)
            try:
                log.append(fact)
            except MlshipError as trouble:
                self.ctx.warnings.append(f"how it ended is not in {log.where}: {trouble}")
        self._allowed = []

    @contextmanager
    def open(self) -> Iterator[Callable[[], object]]:
        """`begin` and `end` around what moves the bytes; gives what looks once more, before they are
        published, if anybody had a say."""
        try:
            found = self.begin()
            yield self.check if found else lambda: None
        except BaseException as error:
            self.end(error)
            raise
        self.end()

    def _logs(self, found: Standing) -> list[AuditLog]:
        """Where it is written down: at each end that has a policy and can keep a log, else with the user."""
        ends = [found.to] if found.crossing.stays else [found.to, found.source]
        logs = [end.place.log for end in ends if end.held and end.place.log]
        return logs or [users_log()]

    def _append(self, log: AuditLog, fact: Fact) -> tuple[AuditLog, Entry]:
        """In `log`; who may only read where the bundle comes from keeps the record himself."""
        try:
            return log, log.append(fact)
        except MlshipError as trouble:
            if log is not self.source.log or log is self.to.log:
                raise
            self.ctx.warnings.append(f"{self.source.name} could not write this down: {trouble}")
            own = users_log()
            return own, own.append(fact)

    def _refused(self, log: AuditLog, fact: Fact) -> None:
        """A refusal is one, whether it can be written down or not."""
        try:
            self._append(log, fact)
        except MlshipError as trouble:
            self.ctx.warnings.append(f"the refusal is not in {log.where}: {trouble}")

    def _fact(self, found: Standing, kind: Kind) -> Fact:
        from mlship.trust.audit_log import End, Fact

        source, to = (
            End(name=end.place.name, url=end.place.url, domain=end.domain) for end in (found.source, found.to)
        )
        verdict = found.decision.verdict
        return Fact(
            kind=kind,
            verb=self.verb,
            reference=self.reference,
            digest=self.digest,
            labels=found.labels.shown,
            source=source,
            to=to,
            policies=tuple(f"{policy.name} {policy.version}" for policy in found.policies),
            rule=f"{verdict.policy}: {verdict.rule}",
            why=verdict.why,
        )


def _remember(found: Standing) -> None:
    from mlship.trust import seen_policies

    for end in (found.source, found.to):
        if end.held:
            seen_policies.remember(end.place.url, end.held.policy)


def registry_passage(
    ctx: Context, verb: str, source: BundleSource, to: Registry, name: str, digest: str, manifest: Manifest
) -> Passage:
    """Of a bundle that goes from one registry to another (or stays, and gets a name)."""
    from mlship.bundle.open import open_bundle
    from mlship.reference import Reference

    reference = Reference(name, digest=digest)
    places = Places(ctx)
    return Passage(
        ctx,
        verb,
        places.registry(source),
        places.registry(to),
        (str(reference), digest),
        lambda: labels_of(open_bundle(source, reference).spec),
        labelled=manifest.is_labelled,
        places=places,
    )


def import_passage(
    ctx: Context, file: Path, to: BundleSource, digest: str, manifest: Manifest, spec: Spec
) -> Passage:
    """Of a bundle that comes out of a file."""
    places = Places(ctx)
    return Passage(
        ctx,
        "import",
        places.file(file),
        places.registry(to),
        (f"{spec.name}@{digest}", digest),
        lambda: labels_of(spec),
        labelled=manifest.is_labelled,
        places=places,
    )


def passage_of(ctx: Context, verb: str, bundle: OpenBundle, to: Callable[[Places], Place]) -> Passage:
    """Of a bundle that was opened, to somewhere."""
    places = Places(ctx)
    return Passage(
        ctx,
        verb,
        places.registry(bundle.registry),
        to(places),
        (str(bundle.reference), bundle.digest),
        lambda: labels_of(bundle.spec),
        labelled=bundle.manifest.is_labelled,
        places=places,
    )
