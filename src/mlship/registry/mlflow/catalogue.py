"""Registered models, their versions, aliases and tags, as an MLflow server has them.

A tag of a bundle is an alias where MLflow takes it as one. `latest`, `v3` and what has a dot MLflow refuses:
those are tags `mlship.tag.NAME` of the registered model, whose value is the version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlship.digest import is_digest
from mlship.errors import RegistryError
from mlship.reference import TAG
from mlship.registry.mlflow.client import ABSENT, EXISTS, Client
from mlship.registry.oci.trouble import Refused

DIGEST, NAME = "mlship.digest", "mlship.name"
_TAG = "mlship.tag."
_ALIAS = re.compile(r"(?!(?i:latest|v[0-9]+)$)[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_PAGE = 1000
_MAX_PAGES = 10_000


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `digest` and `name` of its bundle, empty if it says none."""

    model: str
    number: int
    digest: str
    name: str


class Catalogue:
    """The interface of the model registry. RegistryError comes out."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def versions(self, model: str = "") -> list[Version]:
        """The versions of one registered model, or of all; by model and number."""
        asked = f"name='{model}'" if model else ""
        found = [_version(entry) for entry in self._pages("model-versions/search", "model_versions", asked)]
        return sorted(found, key=lambda version: (version.model, version.number))

    def named(self, model: str) -> dict[str, int] | None:
        """The number of a version by tag; None if there is no such registered model."""
        try:
            answer = self.client.get(f"read {model}", "registered-models/get", name=model)
        except Refused as refusal:
            if ABSENT in refusal.codes:
                return None
            raise
        return _named(answer.get("registered_model") or {})

    def all_named(self) -> dict[str, dict[str, int]]:
        """The same of every registered model."""
        listed = self._pages("registered-models/search", "registered_models", "")
        return {str(entry.get("name")): _named(entry) for entry in listed}

    def create(self, model: str) -> None:
        """Register a model, unless it is."""
        try:
            self.client.tell(f"register {model}", "registered-models/create", name=model)
        except Refused as refusal:
            if EXISTS not in refusal.codes:
                raise

    def create_version(self, model: str, model_id: str, tags: dict[str, str]) -> int:
        """A new version out of a logged model. Passing if it may have been made."""
        answer = self.client.tell_once(
            f"register a version of {model}",
            "model-versions/create",
            name=model,
            source=f"models:/{model_id}",
            model_id=model_id,
            tags=[{"key": key, "value": value} for key, value in tags.items()],
        )
        return _version(answer.get("model_version") or {}).number

    def delete_version(self, model: str, number: int) -> None:
        doing = f"remove version {number} of {model}"
        self.client.tell(doing, "model-versions/delete", "DELETE", name=model, version=str(number))

    def uri_of(self, model: str, number: int) -> str:
        """Where the artifacts of a version lie; RegistryError if there is no such version."""
        doing = f"find version {number} of {model}"
        answer = self.client.get(doing, "model-versions/get-download-uri", name=model, version=number)
        return str(answer.get("artifact_uri") or "")

    def version(self, model: str, number: int) -> dict[str, Any] | None:
        """All that is said of a version; None if there is none."""
        try:
            answer = self.client.get(
                f"read version {number} of {model}", "model-versions/get", name=model, version=number
            )
        except Refused as refusal:
            if ABSENT in refusal.codes:
                return None
            raise
        found: dict[str, Any] = answer.get("model_version") or {}
        return found

    def set_tag(self, model: str, tag: str, number: int) -> None:
        if is_alias(tag):
            content = {"alias": tag, "version": str(number)}
            self.client.tell(f"set the alias {tag}", "registered-models/alias", name=model, **content)
        else:
            content = {"key": _TAG + tag, "value": str(number)}
            self.client.tell(f"set the tag {tag}", "registered-models/set-tag", name=model, **content)

    def delete_tag(self, model: str, tag: str) -> None:
        if is_alias(tag):
            self.client.tell(
                f"remove the alias {tag}", "registered-models/alias", "DELETE", name=model, alias=tag
            )
        else:
            content = {"name": model, "key": _TAG + tag}
            self.client.tell(f"remove the tag {tag}", "registered-models/delete-tag", "DELETE", **content)

    def _pages(self, method: str, key: str, asked: str) -> Iterator[dict[str, Any]]:
        token, seen = "", set[str]()
        while token not in seen and len(seen) < _MAX_PAGES:
            seen.add(token)
            query = {"filter": asked, "max_results": _PAGE, "page_token": token}
            answer = self.client.get(f"list {key.replace('_', ' ')}", method, **query)
            yield from (entry for entry in answer.get(key) or [] if isinstance(entry, dict))
            token = str(answer.get("next_page_token") or "")
            if not token:
                return
        raise RegistryError(f"cannot list what {self.client.url} has", cause="its list has no end")


def is_alias(tag: str) -> bool:
    """Whether MLflow takes `tag` as an alias."""
    return _ALIAS.fullmatch(tag) is not None


def number_in(text: str) -> int | None:
    """The number of a version, if `text` is one."""
    return int(text) if _NUMBER.fullmatch(text) else None


def _version(entry: dict[str, Any]) -> Version:
    tags = _texts(entry.get("tags"), "key", "value")
    digest = tags.get(DIGEST, "")
    return Version(
        model=str(entry.get("name") or ""),
        number=number_in(str(entry.get("version") or "")) or 0,
        digest=digest if is_digest(digest) else "",
        name=tags.get(NAME, ""),
    )


def _named(entry: dict[str, Any]) -> dict[str, int]:
    found = _texts(entry.get("aliases"), "alias", "version")
    for key, value in _texts(entry.get("tags"), "key", "value").items():
        tag = key.removeprefix(_TAG)
        if key.startswith(_TAG) and not is_alias(tag):
            found[tag] = value
    numbers = {tag: number_in(value) for tag, value in found.items() if TAG.fullmatch(tag)}
    return {tag: number for tag, number in sorted(numbers.items()) if number is not None}


def _texts(entries: Any, key: str, value: str) -> dict[str, str]:
    entries = entries if isinstance(entries, list) else []
    return {str(x.get(key)): str(x.get(value)) for x in entries if isinstance(x, dict)}
