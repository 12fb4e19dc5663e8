"""Who we are to an MLflow server: MLflow's own variables, for the server that they are meant for."""

from __future__ import annotations

import base64
import os

from mlship.errors import UsageError
from mlship.registry.mlflow.address import Address, of_tracking_uri
from mlship.registry.oci.transport import origin
from mlship.registry.oci.trouble import NotLetIn

_ADVICE = "export MLFLOW_TRACKING_TOKEN=…, or MLFLOW_TRACKING_USERNAME=… and MLFLOW_TRACKING_PASSWORD=…"


class Credentials:
    """What the environment says. Where MLFLOW_TRACKING_URI names another server, it is for that one alone."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
        self._password = os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        self._token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        self._elsewhere = _meant_for_another(address)

    def headers(self) -> dict[str, str]:
        """What goes with each request; nothing if nothing is known."""
        if self._elsewhere:
            return {}
        if self._user and self._password:
            told = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
            return {"Authorization": f"Basic {told}"}
        if not self._token:
            return {}
        if not self._token.isascii() or not self._token.isprintable():
            raise NotLetIn(
                "MLFLOW_TRACKING_TOKEN is not a token", fix="It is one word of printable characters"
            )
        return {"Authorization": f"Bearer {self._token}"}

    def refused(self) -> NotLetIn:
        """The error after a 401."""
        given = bool(self.headers())
        cause = "the credentials in MLFLOW_TRACKING_… do not hold" if given else "it asks for credentials"
        if self._elsewhere:
            cause += "; those in the environment are for the server in MLFLOW_TRACKING_URI"
        fix = f"Run: {'unset MLFLOW_TRACKING_URI; ' if self._elsewhere else ''}{_ADVICE}"
        return NotLetIn(f"{self.address.url} does not let us in", cause=cause, fix=fix)

    def redacted(self, text: str) -> str:
        """`text` without what is secret."""
        for secret in (self._password, self._token):
            if len(secret) > 3:
                text = text.replace(secret, "…")
        return text


def _meant_for_another(address: Address) -> bool:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return False
    try:
        return origin(of_tracking_uri(uri).root) != origin(address.root)
    except UsageError:
        return True
