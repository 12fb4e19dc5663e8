"""policy.toml: which labelled bundles may cross from one domain to another, read strictly.

`example_policy.toml` beside this file is its documentation. A policy says where it holds (`domain`), what it
wants to know of a bundle, what is sensitive, and by name what it allows and denies; the order of its rules
means nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from mlship.config.convert import Source, section, unknown_key
from mlship.config.lines import key_lines
from mlship.config.sections import Section, Text
from mlship.errors import ConfigError, UsageError
from mlship.reference import FILE_DOMAIN, check_domain, check_name

FILE_NAME = "policy.toml"
SCHEMA = 1
MAX_BYTES = 1 << 18
ANY = "*"
Matched = dict[str, tuple[Text, ...]]


class Head(Section, frozen=True, kw_only=True):
    """What stands above the rules. `sensitive` are labels (name and values, `*` for any) beside those that
    always are."""

    schema: Annotated[int, msgspec.Meta(ge=1)]
    name: Text
    version: Annotated[int, msgspec.Meta(ge=1)]
    domain: Text
    require_labels: tuple[Text, ...] = ()
    sensitive: Matched = {}


class Allow(Section, frozen=True, kw_only=True):
    """These labels may go from one of these domains to one of those; all three must be said."""

    labels: Matched
    source: tuple[Text, ...] = msgspec.field(name="from")
    to: tuple[Text, ...]
    why: str = ""


class Deny(Section, frozen=True, kw_only=True):
    """No bundle with such a label goes (or is let be) there; what is not said is any."""

    labels: Matched = {}
    source: tuple[Text, ...] = msgspec.field(name="from", default=(ANY,))
    to: tuple[Text, ...] = (ANY,)
    why: str = ""


RULES: dict[str, type[Allow] | type[Deny]] = {"allow": Allow, "deny": Deny}


@dataclass(frozen=True)
class Policy:
    """A policy as it was read."""

    head: Head
    allow: Mapping[str, Allow]
    deny: Mapping[str, Deny]

    @property
    def name(self) -> str:
        return self.head.name

    @property
    def version(self) -> int:
        return self.head.version

    @property
    def domain(self) -> str:
        return self.head.domain


def read_policy(text: str, place: str = FILE_NAME) -> Policy:
    """The policy in `text`; raises ConfigError that names `place` and the line."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError(f"{place} is too large", cause=f"a policy has at most {MAX_BYTES} bytes")
    text = text.replace("\r\n", "\n")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place} is not TOML", cause=str(error)) from error
    source = Source(place, key_lines(text))
    number = document.get("schema")
    if isinstance(number, int) and not isinstance(number, bool) and number > SCHEMA:
        raise source.error(("schema",), "the policy was made for a newer mlship", "Update mlship here")
    for key in document:
        if key not in RULES and key not in _HEAD:
            raise unknown_key(source, (), key, [*_HEAD, *RULES], kind="key or section")
    head = _head(source, document)
    rules: dict[str, dict[str, Any]] = {}
    for kind, shape in RULES.items():
        tables = source.table((kind,), document.get(kind, {}))
        rules[kind] = {name: section(source, (kind, name), rule, shape) for name, rule in tables.items()}
    policy = Policy(head, rules["allow"], rules["deny"])
    _check_words(source, policy)
    return policy


_HEAD = tuple(field.encode_name for field in msgspec.structs.fields(Head))


def _head(source: Source, document: Mapping[str, Any]) -> Head:
    values = {key: value for key, value in document.items() if key in _HEAD}
    for field in msgspec.structs.fields(Head):
        if field.required and field.encode_name not in values:
            raise ConfigError(
                f"{source.name} has no {field.encode_name}", fix=f"Write {field.encode_name} = … at its top"
            )
    return section(source, (), values, Head)


def _check_words(source: Source, policy: Policy) -> None:
    """Names, and lists that must not be empty, which a type alone cannot express."""
    _word(source, check_name, policy.name, "name")
    _word(source, check_domain, policy.domain, "domain")
    _matched(source, policy.head.sensitive, "sensitive")
    for kind, rules in (("allow", policy.allow), ("deny", policy.deny)):
        for name, rule in rules.items():
            _word(source, check_name, name, kind, name)
            _matched(source, rule.labels, kind, name, "labels")
            for key, domains in (("from", rule.source), ("to", rule.to)):
                if not domains:
                    raise source.error(
                        (kind, name, key), f"{kind}.{name}.{key} is empty", "Name a domain, or *"
                    )
                for domain in domains:
                    if domain not in (ANY, FILE_DOMAIN):
                        _word(source, check_domain, domain, kind, name, key)
    for name, rule in policy.allow.items():
        if not rule.labels:
            raise source.error(
                ("allow", name, "labels"), f"allow.{name}.labels is empty", "Say which labels may cross"
            )


def _word(source: Source, check: Callable[[str], str], text: str, *path: str) -> None:
    try:
        check(text)
    except UsageError as error:
        raise source.error(path, error.what, error.fix) from error


def _matched(source: Source, labels: Matched, *path: str) -> None:
    for name, values in labels.items():
        if not values:
            raise source.error((*path, name), f"{'.'.join((*path, name))} is empty", "List values, or *")
