"""What a release answers: V2, /invocations, /ping, health and metrics, over one pipeline. No sockets."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Callable
from urllib.parse import quote, unquote_to_bytes

import orjson

from mlship_runtime import __version__
from mlship_runtime.bundle.spec import Spec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.engine import ModelFailed
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.model.reduction import ReductionFailed
from mlship_runtime.serving import invocations, openapi
from mlship_runtime.serving.answer import Answer, error_answer
from mlship_runtime.serving.batching import Outcome, predict_together
from mlship_runtime.serving.collection import uncollected
from mlship_runtime.serving.counters import Counters
from mlship_runtime.serving.depth import is_deeper
from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.metrics import CONTENT_TYPE, Metrics, RouteMetrics
from mlship_runtime.serving.one_row import one_row
from mlship_runtime.serving.v2 import InferCodec
from mlship_runtime.serving.v2_binary import LENGTH_HEADER, json_length

_Headers = Mapping[bytes, bytes]
_Handler = Callable[[_Headers, bytes], Answer]


class _Route:
    """One path: its handlers by method (HEAD as GET), its metrics, the methods it allows."""

    def __init__(self, metrics: RouteMetrics, handlers: Mapping[bytes, _Handler]) -> None:
        self.observe = metrics.observe
        self.handlers = dict(handlers)
        if b"GET" in handlers:
            self.handlers[b"HEAD"] = handlers[b"GET"]
        self.allow = b"Allow: " + b", ".join(sorted(self.handlers)) + b"\r\n"


class Application:
    """Answers for one release, which is number `release` of its service. `ready` is what the health routes
    say; set it to False before a drain so that a load balancer goes elsewhere. `counters` is the folder in
    which the release's workers count together; without one this worker counts alone. Of `limits`, rows and
    depth are kept here. `service` is a name for the model besides its own."""

    def __init__(
        self,
        pipeline: Pipeline,
        release: int = 0,
        *,
        ready: bool = True,
        counters: str = "",
        limits: Limits | None = None,
        service: str = "",
    ) -> None:
        spec, digest = pipeline.spec, pipeline.digest
        self.ready = ready
        self.headers = (
            f"Mlship-Bundle: {digest}\r\nMlship-Release: {release}\r\n"
            f"X-Amzn-SageMaker-Custom-Attributes: mlship-bundle={digest}\r\n"
        ).encode("latin-1")
        self._pipeline = pipeline
        limits = limits or Limits()
        self._rows, self._depth = limits.rows, limits.depth
        codec = InferCodec(spec.name, digest, spec.inputs, spec.outputs, writable=_runs_python(spec))
        self._codec = codec
        build = {"digest": digest, "release": str(release), "runtime": __version__}
        self._metrics = Metrics(spec.name, spec.version, build, Counters(counters))
        self._unknown = self._metrics.route("unknown")
        self._refused = self._metrics.route("refused")
        row, observe = pipeline.row(), self._metrics.model_durations.observe
        self._one_row = (
            one_row(spec, row, codec.decode, codec.numbers, codec.about, limits.depth, observe)
            if row
            else None
        )
        self._routes = self._all_routes(spec.name, digest, service or spec.name)

    def tell_restarts(self, restarts: Callable[[], Mapping[str, int]]) -> None:
        """Show in the metrics how many workers of the release were replaced, by reason."""
        self._metrics.restarts = restarts

    def answer(self, method: bytes, target: bytes, headers: _Headers, body: bytes) -> Answer:
        """The answer to one request; see `answer.Application`."""
        started = perf_counter()
        route = self._routes.get(target) or self._find(target)
        if route is None:
            found = error_answer(404, self._not_found(target))
            self._unknown.observe(404, perf_counter() - started)
            return found
        handler = route.handlers.get(method)
        if handler is None:
            found = error_answer(405, "the method is not allowed here", route.allow)
        else:
            try:
                found = handler(headers, body)
            except Exception as error:  # noqa: BLE001  whatever is wrong, the client must get an answer
                found = _failure(error)
        route.observe(found.status, perf_counter() - started)
        return found

    def answer_many(self, requests: Sequence[tuple[bytes, bytes, _Headers, bytes]]) -> list[Answer]:
        """The answers to requests that came together: those for /infer share runs of the model, and the rest
        is answered one by one."""
        started = perf_counter()
        answers: dict[int, Answer] = {}
        read, shared = {}, {}
        for place, (method, target, headers, body) in enumerate(requests):
            route = self._routes.get(target)
            if route is None or method != b"POST" or route.handlers.get(method) != self._infer:
                answers[place] = self.answer(method, target, headers, body)
                continue
            shared[place] = route
            try:
                read[place] = self._read(headers, body)
            except Exception as error:  # noqa: BLE001  as in `answer`
                answers[place] = _failure(error)
        outcomes = predict_together(self._predict, [columns for _, columns in read.values()], self._rows)
        for (place, (request, _)), outcome in zip(read.items(), outcomes):
            answers[place] = self._written(request, outcome)
        seconds = perf_counter() - started
        for place, route in shared.items():
            route.observe(answers[place].status, seconds)
        return [answers[place] for place in range(len(requests))]

    def _written(self, request: Any, outcome: Outcome) -> Answer:
        try:
            if isinstance(outcome, Exception):
                raise outcome
            return self._codec.write(request, outcome)
        except Exception as error:  # noqa: BLE001  as in `answer`
            return _failure(error)

    @property
    def connections(self) -> int:
        return self._metrics.connections.value

    @connections.setter
    def connections(self, count: int) -> None:
        self._metrics.connections.value = count

    @property
    def waiting(self) -> int:
        return self._metrics.waiting.value

    @waiting.setter
    def waiting(self, count: int) -> None:
        self._metrics.waiting.value = count

    def refuse(self, status: int, message: str) -> Answer:
        self._refused.observe(status, 0.0)
        return error_answer(status, message)

    def _all_routes(self, name: str, digest: str, service: str) -> dict[bytes, _Route]:
        infer, invoke = {b"POST": self._infer}, {b"POST": self._invoke}
        metadata, ready = _fixed(self._pipeline.metadata), self._model_ready
        about = _fixed({"name": "mlship", "version": __version__, "extensions": ["binary_tensor_data"]})
        model = f"/v2/models/{quote(name, safe='')}"
        routes: dict[bytes, _Route] = {}
        for path, label, handlers in (
            ("/v2", "server", {b"GET": about}),
            ("/v2/health/live", "live", {b"GET": _fixed({"live": True})}),
            ("/v2/health/ready", "ready", {b"GET": self._ready}),
            (model, "metadata", {b"GET": metadata}),
            (f"{model}/ready", "model_ready", {b"GET": ready}),
            (f"{model}/infer", "infer", infer),
            (f"{model}/versions/{digest}", "metadata", {b"GET": metadata}),
            (f"{model}/versions/{digest}/ready", "model_ready", {b"GET": ready}),
            (f"{model}/versions/{digest}/infer", "infer", infer),
            ("/invocations", "invocations", invoke),
            ("/ping", "ping", {b"GET": self._ready}),
            ("/healthz", "live", {b"GET": _fixed({"live": True})}),
            ("/readyz", "ready", {b"GET": self._ready}),
            ("/metrics", "metrics", {b"GET": self._show_metrics}),
            ("/openapi.json", "openapi", {b"GET": self._describe}),
        ):
            route = routes[path.encode()] = _Route(self._metrics.route(label), handlers)
            if path.startswith(model):
                routes[f"/v2/models/{quote(service, safe='')}{path[len(model) :]}".encode()] = route
        return routes

    def _find(self, target: bytes) -> _Route | None:
        """The route of a target with a query, or with other characters quoted than we would."""
        path = target.partition(b"?")[0]
        return self._routes.get(path) or self._routes.get(quote(unquote_to_bytes(path), safe="/:").encode())

    def _not_found(self, target: bytes) -> str:
        if target.startswith(b"/v2/models/"):
            return f"only {self._pipeline.spec.name} ({self._pipeline.digest}) is served here"
        return "nothing is served at this path"

    def _infer(self, headers: _Headers, body: bytes) -> Answer:
        if self._one_row is not None and LENGTH_HEADER not in headers:
            found = self._one_row(body)
            if found is not None:
                return found
        request, columns = self._read(headers, body)
        return self._codec.write(request, self._predict(columns))

    def _read(self, headers: _Headers, body: bytes) -> tuple[Any, dict[str, Array]]:
        """An infer request and its columns. Raises BadInput."""
        length = headers.get(LENGTH_HEADER)
        at = None if length is None else json_length(length, body)
        self._check_depth(body if at is None else body[:at])
        return uncollected(lambda: self._codec.read(body, at), body)

    def _invoke(self, headers: _Headers, body: bytes) -> Answer:
        spec = self._pipeline.spec
        try:
            kind = invocations.answer_type(headers.get(b"accept"), spec.outputs)
            content_type = headers.get(b"content-type", b"")
            if b"json" in content_type.lower() or not content_type:
                self._check_depth(body)
            columns = uncollected(lambda: invocations.read(content_type, body, spec.inputs, self._rows), body)
        except invocations.WrongType as wrong:
            return wrong.answer
        return invocations.write(self._predict(columns), kind)

    def _check_depth(self, document: bytes) -> None:
        if is_deeper(document, self._depth):
            cause = f"more than {self._depth} brackets lie in one another"
            raise BadInput("the body is nested too deeply", cause=cause)

    def _predict(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        rows = max(map(len, columns.values()), default=0)
        if rows > self._rows:
            raise BadInput(
                f"the request has {rows:,} rows", cause=f"at most {self._rows:,} are taken at a time"
            )
        started = perf_counter()
        results = self._pipeline.predict(columns)
        self._metrics.model_durations.observe(perf_counter() - started)
        return results

    def _ready(self, headers: _Headers, body: bytes) -> Answer:
        return Answer(200 if self.ready else 503, orjson.dumps({"ready": self.ready}))

    def _model_ready(self, headers: _Headers, body: bytes) -> Answer:
        document = {"name": self._pipeline.spec.name, "ready": self.ready}
        return Answer(200 if self.ready else 503, orjson.dumps(document))

    def _describe(self, headers: _Headers, body: bytes) -> Answer:
        return Answer(200, orjson.dumps(openapi.document(self._pipeline.spec, self._pipeline.digest)))

    def _show_metrics(self, headers: _Headers, body: bytes) -> Answer:
        return Answer(200, self._metrics.render(), CONTENT_TYPE)


def _fixed(document: Mapping[str, Any]) -> _Handler:
    answer = Answer(200, orjson.dumps(document))
    return lambda headers, body: answer


def _runs_python(spec: Spec) -> bool:
    """Whether code that is not ours gets the columns."""
    return spec.engine == "python" or (spec.reduction is not None and spec.reduction["kind"] == "python")


def _failure(error: Exception) -> Answer:
    """Errors of the input are 400 and say why; others are 500, with the traceback in the log only."""
    if isinstance(error, BadInput):
        return error_answer(400, str(error))
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    if isinstance(error, (ReductionFailed, ModelFailed)):
        return error_answer(500, error.what)
    return error_answer(500, f"the request could not be answered ({type(error).__name__})")
