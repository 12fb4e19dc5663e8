"""A policy as a registry or target keeps it: its text, and beside it who signed it.

The statement names the text by its digest and says of what kind it is, so that no other signature stands for
one of a policy. Where keys are trusted, what none of them signed is refused and never passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mlship.digest import hex_of, sha256
from mlship.errors import ConfigError, MlshipError, PolicyError
from mlship.result import Result, to_json
from mlship.store.protocol import Store
from mlship.store.records import read_record
from mlship.trust.policy import FILE_NAME, Policy, read_policy
from mlship.trust.private import PrivateKey
from mlship.trust.roots import Roots
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.signature import open_envelope
from mlship_runtime.trust.statement import STATEMENT_TYPE

SCHEMA = 1
PREDICATE_TYPE = "urn:mlship:policy:1"
_PLACE = "the statement about a policy"


@runtime_checkable
class PolicyKeeper(Protocol):
    """Where one policy is kept."""

    def read_policy(self) -> tuple[bytes, str] | None:
        """What is kept and its version (for `write_policy`); None if there is none."""
        ...

    def write_policy(self, data: bytes, version: str | None) -> bool:
        """Keep `data` if what is kept still has `version` (None: nothing is); False if somebody was
        faster."""
        ...


@dataclass(frozen=True)
class StorePolicy:
    """A policy under one key of a Store."""

    store: Store
    key: str

    def read_policy(self) -> tuple[bytes, str] | None:
        return self.store.get(self.key)

    def write_policy(self, data: bytes, version: str | None) -> bool:
        return self.store.write_if_match(self.key, data, version) is not None


class Record(Result, frozen=True, kw_only=True):
    """What lies there. `signature` is an envelope as text, empty if nobody signed."""

    policy: str
    signature: str
    schema_version: int = SCHEMA


@dataclass(frozen=True)
class Held:
    """A policy that was found, its text, and the id of the key that signed it (empty: nobody did, or it is
    not known who may)."""

    policy: Policy
    text: str
    signer: str


def write_kept(text: str, key: PrivateKey | None) -> bytes:
    """What a place keeps: `text`, signed with `key`."""
    signature = key.sign_statement(_statement(text)).decode("utf-8") if key else ""
    return to_json(Record(policy=text, signature=signature))


def read_kept(data: bytes, roots: Roots, where: str) -> Held:
    """The policy of `where`; raises PolicyError if it cannot be read, or if keys are trusted and none of them
    signed it."""
    fix = "Remove it there, then set it again: mlship policy set"
    record = read_record(
        data, Record, schema=SCHEMA, what=f"the policy of {where}", fix=fix, error=PolicyError
    )
    signer = _signer(record, roots, where) if roots.keys else ""
    try:
        policy = read_policy(record.policy, f"the policy of {where}")
    except ConfigError as error:
        raise PolicyError(error.what, cause=error.cause, fix=error.fix or fix) from error
    return Held(policy, record.policy, signer)


def _signer(record: Record, roots: Roots, where: str) -> str:
    if not record.signature:
        raise _unsigned(where, "nobody signed it, and [trust] names keys")
    try:
        key, payload = open_envelope(record.signature.encode("utf-8"), roots.trusted, "it")
        if payload != _statement(record.policy):
            _say_what(payload, record.policy)
    except InvalidBundle as fault:
        raise _unsigned(where, str(fault)) from fault
    return key.id


def _statement(text: str) -> bytes:
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": FILE_NAME, "digest": {"sha256": hex_of(sha256(text.encode("utf-8")))}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {},
        }
    )


def _say_what(payload: bytes, text: str) -> None:
    """Raise InvalidBundle with what is wrong with a statement that is not the one for `text`."""
    top = Fields(canonical.decode(payload), _PLACE)
    top.constant("_type", STATEMENT_TYPE)
    top.constant("predicateType", PREDICATE_TYPE)
    raise InvalidBundle(
        "the signature is of another policy", cause="the text was changed after it was signed"
    )


def _unsigned(where: str, cause: str) -> MlshipError:
    return PolicyError(
        f"the policy of {where} does not hold",
        cause=cause,
        fix="Who may sign policies sets it again: mlship policy set … --key FILE",
    )
