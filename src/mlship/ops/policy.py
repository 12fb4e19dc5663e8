"""`mlship policy`: what may cross to and from a place: read, checked, set, explained; and what did cross."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlship.errors import PolicyError, RegistryError, UsageError
from mlship.ops.context import Context
from mlship.ops.places import OWN_POLICY, Place, Places, ambiguous, users_log
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.trust.audit_log import AuditLog, Entry
    from mlship.trust.kept_policy import Held
    from mlship.trust.policy import Policy
    from mlship.trust.residency import Verdict


class PolicyShown(Result, frozen=True, kw_only=True):
    """A policy, where it is kept, and the id of the key that signed it (empty: nobody, or it is not known who
    may)."""

    place: str
    name: str
    version: int
    domain: str
    signer: str
    rules: tuple[str, ...]
    text: str


class PolicySet(Result, frozen=True, kw_only=True):
    """`before` is the version that was there (None: none was); `changed` is False if it was this one."""

    place: str
    name: str
    version: int
    domain: str
    before: int | None
    signed: bool
    changed: bool


class Explained(Result, frozen=True, kw_only=True):
    """Whether a bundle may go somewhere, the policy and rule that decide, what would be needed if not; and
    what each policy says."""

    reference: str
    source: str
    source_domain: str
    to: str
    to_domain: str
    labels: tuple[str, ...]
    row_labels: tuple[str, ...]
    allowed: bool
    policy: str
    rule: str
    why: str
    needed: str
    verdicts: tuple[Verdict, ...]


class Audited(Result, frozen=True, kw_only=True):
    """The records of a log, oldest first; with `verified`, the chain was gone through, and `last` is the
    digest of its end. `unfinished` are the numbers of crossings of which no end is known."""

    log: str
    entries: tuple[Entry, ...]
    unfinished: tuple[int, ...]
    verified: bool
    last: str


def check(file: Path) -> PolicyShown:
    """Read a policy file. Raises ConfigError with the line at fault."""
    policy, text = _read(file)
    return _shown(str(file), policy, text, "")


def show(ctx: Context, place: str | None = None) -> PolicyShown:
    """The policy of a registry or target; None is this project's own. Raises PolicyError if it does not hold,
    UsageError if there is none."""
    places = Places(ctx)
    if place is None:
        file = ctx.project_or_error().root / OWN_POLICY
        if not file.is_file():
            raise UsageError(f"this project has no {OWN_POLICY}", fix="Name a registry or a target")
        return check(file)
    found = places.look(_place(ctx, places, place), labelled=True)
    if found.held is None:
        raise UsageError(f"{found.place.name} has no policy", fix="Set one: mlship policy set")
    return _shown(found.place.name, found.held.policy, found.held.text, found.held.signer)


def set_policy(
    ctx: Context, place: str, file: Path, key_file: Path | None = None, passphrase_file: Path | None = None
) -> PolicySet:
    """Let `file` be the policy of a registry or target, signed with a key.

    Raises ConfigError for the file, UsageError without a key where [trust] names some, PolicyError for a
    version that is not higher than the one there, another domain than mlship.toml says, or a key that does
    not count.
    """
    from mlship.trust.kept_policy import PolicyKeeper, read_kept, write_kept
    from mlship.trust.passphrase import read_passphrase
    from mlship.trust.private import load_key
    from mlship.trust.roots import Roots, load_policy_roots

    policy, text = _read(file)
    places = Places(ctx)
    where = _place(ctx, places, place)
    keeper = where.keeper
    if not isinstance(keeper, PolicyKeeper):
        raise UsageError(
            f"{where.name} cannot keep a policy", fix=f"Write {OWN_POLICY} in the projects that use it"
        )
    roots = load_policy_roots(ctx.project)
    if key_file is None and roots.keys:
        raise UsageError("[trust] names keys, so a policy is signed", fix="Add --key FILE")
    key = load_key(key_file, read_passphrase(passphrase_file)) if key_file else None
    data = write_kept(text, key)
    read_kept(data, roots, where.name)
    if where.stated and where.stated != policy.domain:
        raise PolicyError(
            f"{file} is for the domain {policy.domain}, and mlship.toml has {where.name} in {where.stated}",
            fix="Correct the one that is wrong",
        )
    found = keeper.read_policy()
    there = read_kept(found[0], Roots(), where.name) if found else None  # whoever signed it
    before = there.policy.version if there else None
    if found and found[0] == data:
        return _was_set(where, policy, before, signed=key is not None, changed=False)
    if there and (policy.version < there.policy.version or _is_other(policy, text, there)):
        raise PolicyError(
            f"{where.name} has version {before} of its policy, and {file} is version {policy.version}",
            cause="who has seen the newer one would refuse it",
            fix=f"Give it version = {there.policy.version + 1} or more",
        )
    if not keeper.write_policy(data, found[1] if found else None):
        raise RegistryError(
            f"the policy of {where.name} was set by somebody else meanwhile", fix="Look: mlship policy show"
        )
    _note(ctx, where, policy)
    return _was_set(where, policy, before, signed=key is not None, changed=True)


def explain(ctx: Context, ref: str | None, to: str) -> Explained:
    """Whether `ref` (None = the last build) may go to `to` (a registry, a target, or `file`), and why."""
    from mlship.ops.crossing import labels_of, passage_of
    from mlship.trust.residency import Crossing, with_examples

    bundle = ctx.open_bundle(ref)
    passage = passage_of(
        ctx, "explain", bundle, lambda places: _place(ctx, places, to, bundle.reference.name)
    )
    found = passage.look()
    labels = labels_of(bundle.spec)
    if found is None:
        ends = [passage.places.look(end, labelled=True) for end in (passage.source, passage.to)]
        stays = passage.source.url == passage.to.url
        crossing = Crossing(ends[0].domain, ends[1].domain, labels.bundle, stays)
        decision = with_examples(crossing, labels.examples, ())
    else:
        crossing, decision = found.crossing, found.decision
    verdict = decision.verdict
    return Explained(
        reference=str(bundle.reference),
        source=passage.source.name,
        source_domain=crossing.source,
        to=passage.to.name,
        to_domain=crossing.to,
        labels=tuple(str(label) for label in sorted(labels.bundle)),
        row_labels=tuple(str(label) for label in sorted(labels.examples)),
        allowed=decision.allowed,
        policy=verdict.policy,
        rule=verdict.rule,
        why=verdict.why,
        needed=verdict.needed,
        verdicts=decision.verdicts,
    )


def audit(
    ctx: Context, place: str | None = None, *, verify: bool = False, holds: str | None = None
) -> Audited:
    """What a registry's or target's log says; None is the user's own. `verify` goes through the chain, in
    which the digest `holds` must be. Raises PolicyError where it is broken."""
    log = _log(_place(ctx, Places(ctx), place)) if place else users_log()
    checked = log.check(holds) if verify or holds else None
    entries = tuple(log.entries())
    ended = {entry.fact.of for entry in entries}
    return Audited(
        log=log.where,
        entries=entries,
        unfinished=tuple(
            entry.sequence
            for entry in entries
            if entry.fact.kind == "allowed" and entry.sequence not in ended
        ),
        verified=checked is not None,
        last=checked.last if checked else "",
    )


def _read(file: Path) -> tuple[Policy, str]:
    from mlship.trust.policy import read_policy

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read", cause=str(error)) from error
    return read_policy(text, str(file)), text


def _place(ctx: Context, places: Places, word: str, bundle_name: str | None = None) -> Place:
    """What `word` names: a registry (its name or URL), a target, or `file`."""
    from mlship.ops.service import LOCAL_NAME, open_service
    from mlship.reference import FILE_DOMAIN

    kind, colon, rest = word.partition(":")
    if colon and kind in ("registry", "target"):
        word = rest
    else:
        kind = ""
    targets = {LOCAL_NAME, *(ctx.project.targets if ctx.project else ())}
    is_registry = kind != "target" and ("://" in word or ctx.is_registry(word))
    is_target = kind != "registry" and word in targets
    if is_registry and is_target:
        raise ambiguous(word)
    if is_target:
        return places.target(open_service(ctx, word, bundle_name=bundle_name or _any_name(ctx)))
    if word == FILE_DOMAIN and not is_registry:
        return places.file(Path(FILE_DOMAIN))
    return places.registry(ctx.registry(word))


def _any_name(ctx: Context) -> str:
    """A policy is the target's, not a service's: any name opens it."""
    return ctx.project.project.name if ctx.project else "any"


def _log(place: Place) -> AuditLog:
    if place.log is None:
        raise UsageError(f"{place.name} keeps no log", fix="What this machine did is in: mlship policy audit")
    return place.log


def _is_other(policy: Policy, text: str, there: Held) -> bool:
    """Whether it is another policy under the version that is there; the same one can be signed again."""
    return policy.version == there.policy.version and text != there.text


def _note(ctx: Context, where: Place, policy: Policy) -> None:
    """That it was set, by whom and when."""
    from mlship.trust import seen_policies
    from mlship.trust.audit_log import End, Fact

    seen_policies.remember(where.url, policy)
    end = End(name=where.name, url=where.url, domain=policy.domain)
    fact = Fact(kind="policy", verb="policy set", to=end, policies=(f"{policy.name} {policy.version}",))
    (where.log or users_log()).append(fact)


def _was_set(where: Place, policy: Policy, before: int | None, *, signed: bool, changed: bool) -> PolicySet:
    return PolicySet(
        place=where.name,
        name=policy.name,
        version=policy.version,
        domain=policy.domain,
        before=before,
        signed=signed,
        changed=changed,
    )


def _shown(place: str, policy: Policy, text: str, signer: str) -> PolicyShown:
    rules = (*(f"allow.{name}" for name in policy.allow), *(f"deny.{name}" for name in policy.deny))
    return PolicyShown(
        place=place,
        name=policy.name,
        version=policy.version,
        domain=policy.domain,
        signer=signer,
        rules=rules,
        text=text,
    )
