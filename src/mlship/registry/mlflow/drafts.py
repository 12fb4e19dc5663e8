"""Where the artifacts of a bundle lie before they are a version: a logged model, found by its digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlship.errors import RegistryError
from mlship.registry.mlflow.catalogue import DIGEST, NAME
from mlship.registry.mlflow.client import ABSENT, EXISTS, Client
from mlship.registry.oci.trouble import Refused

EXPERIMENT = "mlship"


@dataclass(frozen=True)
class Draft:
    """A logged model of MLflow: its id, and the URI of its artifacts."""

    model_id: str
    uri: str


class Drafts:
    """The logged models of the experiment `mlship`."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def find(self, name: str, digest: str) -> Draft | None:
        """The oldest one that was begun for a bundle, by whomever."""
        experiment = self._experiment()
        if experiment is None:
            return None
        answer = self.client.tell(
            f"look for what was sent of {name}",
            "logged-models/search",
            experiment_ids=[experiment],
            filter=f"name = '{_title(name, digest)}'",
            order_by=[{"field_name": "creation_time", "ascending": True}],
        )
        for model in answer.get("models") or []:
            info = model.get("info") or {}
            tags = {tag.get("key"): tag.get("value") for tag in info.get("tags") or []}
            if tags.get(DIGEST) == digest and tags.get(NAME) == name:
                return _draft(info)
        return None

    def begin(self, name: str, digest: str) -> Draft:
        """A new one. Its name is seen in MLflow's pages."""
        experiment = self._experiment() or self._new_experiment()
        answer = self.client.tell(
            f"begin {name}",
            "logged-models",
            experiment_id=experiment,
            name=_title(name, digest),
            model_type="mlship",
            tags=[{"key": DIGEST, "value": digest}, {"key": NAME, "value": name}],
        )
        return _draft((answer.get("model") or {}).get("info") or {})

    def finish(self, draft: Draft) -> None:
        """Say that all of it is there."""
        content = {"model_id": draft.model_id, "status": "LOGGED_MODEL_READY"}
        self.client.tell("finish the model", f"logged-models/{draft.model_id}", "PATCH", **content)

    def _experiment(self) -> str | None:
        doing = f"find the experiment {EXPERIMENT}"
        try:
            answer = self.client.get(doing, "experiments/get-by-name", experiment_name=EXPERIMENT)
        except Refused as refusal:
            if ABSENT in refusal.codes:
                return None
            raise
        experiment: dict[str, Any] = answer.get("experiment") or {}
        number = str(experiment.get("experiment_id") or "")
        if experiment.get("lifecycle_stage") == "deleted":
            raise RegistryError(
                f"the experiment {EXPERIMENT} in {self.client.url} is deleted",
                cause="it has what is pushed there",
                fix=f"Run: mlflow experiments restore --experiment-id {number}",
            )
        return number or None

    def _new_experiment(self) -> str:
        try:
            made = self.client.tell(
                f"make the experiment {EXPERIMENT}", "experiments/create", name=EXPERIMENT
            )
        except Refused as refusal:
            if EXISTS not in refusal.codes:
                raise
            return self._experiment() or ""
        return str(made.get("experiment_id") or "")


def _title(name: str, digest: str) -> str:
    return f"{name.replace('.', '-')}-{digest[7:19]}"


def _draft(info: dict[str, Any]) -> Draft:
    return Draft(str(info.get("model_id") or ""), str(info.get("artifact_uri") or ""))
