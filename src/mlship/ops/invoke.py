"""`mlship invoke`: ask the live release (or one by number) for a prediction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

from mlship.errors import TargetError, UsageError
from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.ops.ways import Caller, Via, ask
from mlship.result import Result
from mlship_runtime.client import Request
from mlship_runtime.supervision.probe import DIGEST_HEADER

Taken = Literal[Via, "socket"]
NOBODY = Caller()
_FIXES = {
    401: "Give a token that it knows: --token-file, or MLSHIP_TOKEN",
    413: "",  # the server says itself what to do then
}
_NO_OBJECT = "the request is not a JSON object"


class Answer(Result, frozen=True, kw_only=True):
    """A release's answer: the digest of the bundle that gave it, the decoded body, by which way it came."""

    target: str
    service: str
    digest: str
    status: int
    body: Any
    via: Taken = "endpoint"


def invoke(
    ctx: Context,
    target: str | None,
    payload: bytes,
    content_type: str,
    release: int | None = None,
    *,
    caller: Caller = NOBODY,
    via: Via | None = None,
) -> Answer:
    """Send JSON (a V2 request, or one of the `/invocations` forms) or CSV with a header line: to the live
    release by the way that ops.ways finds, to `release` by its own socket.

    Raises UsageError if the release refuses the input (status 4xx), TargetError for any other failure.
    """
    service = open_service(ctx, target)
    path = f"/v2/models/{service.name}/infer" if _is_v2(payload, content_type) else "/invocations"
    asked = Request(path, payload, headers={"Content-Type": content_type})
    if ctx.timeout is not None:
        asked = replace(asked, timeout=ctx.timeout)
    if release is not None and via is not None:
        raise UsageError("a release by its number has one way only", fix="Leave out --via or --release")
    taken: Taken = "socket"
    if release is None:
        answer, taken = ask(service.adapter, asked, caller, via)
        if taken == "tunnel" and via is None:
            ctx.progress.say(f"through the connection to {service.target}: it has no endpoint for here")
    else:
        answer = service.adapter.invoke(asked, release)
    body = _decoded(answer.body)
    if answer.status >= 400:
        said = body.get("error", "") if isinstance(body, dict) else str(body)
        kind = UsageError if answer.status < 500 else TargetError
        fix = _FIXES.get(answer.status, "See mlship inspect")
        raise kind(f"{service.name} answered with status {answer.status}", cause=said, fix=fix)
    return Answer(
        target=service.target,
        service=service.name,
        digest=answer.headers.get(DIGEST_HEADER, ""),
        status=answer.status,
        body=body,
        via=taken,
    )


def _is_v2(payload: bytes, content_type: str) -> bool:
    """A V2 request has `inputs` as a list of named tensors; MLflow's form has arrays or an object there."""
    if "json" not in content_type:
        return False
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UsageError(_NO_OBJECT, cause=str(error), fix="See mlship invoke --help") from error
    if not isinstance(request, dict):
        found = "a list" if isinstance(request, list) else "a single value"
        raise UsageError(_NO_OBJECT, cause=f"it is {found}", fix="See mlship invoke --help")
    inputs = request.get("inputs")
    return (
        isinstance(inputs, list) and bool(inputs) and all(isinstance(t, dict) and "name" in t for t in inputs)
    )


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
