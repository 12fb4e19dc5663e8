"""What a release counts over all its workers, in the Prometheus text format 0.0.4, written by hand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable

from mlship_runtime.serving.counters import Counters

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_CODES = (
    *(200, 400, 401, 403, 404, 405, 406, 408, 411, 413, 414, 415, 417, 421, 422, 426, 429, 431),
    *(500, 501, 502, 503, 504, 505),
)


class Histogram:
    """Durations in seconds."""

    def __init__(self, counters: Counters) -> None:
        self._places = counters.places
        self.at = counters.take(len(_BOUNDS) + 2)
        self.sum_at = self.at + len(_BOUNDS) + 1
        self.observe = self._observer()

    def _observer(self) -> Callable[[float], None]:
        places, at, sum_at, bounds = self._places, self.at, self.sum_at, _BOUNDS

        def observe(seconds: float) -> None:
            places[at + bisect_left(bounds, seconds)] += 1
            places[sum_at] += seconds

        return observe

    def lines(self, name: str, labels: str, totals: Sequence[float]) -> Iterator[str]:
        count = 0
        for place, bound in enumerate((*map(repr, _BOUNDS), "+Inf"), self.at):
            count += int(totals[place])
            yield f'{name}_bucket{{{labels},le="{bound}"}} {count}'
        yield f"{name}_sum{{{labels}}} {totals[self.sum_at]!r}"
        yield f"{name}_count{{{labels}}} {count}"


class RouteMetrics:
    """Requests of one route: how many by status code, how long."""

    def __init__(self, route: str, counters: Counters) -> None:
        self.route = route
        self._places = counters.places
        self._at = {code: counters.take() for code in _CODES}
        self._other = counters.take()
        self.durations = Histogram(counters)
        self.observe = self._observer()

    def _observer(self) -> Callable[[int, float], None]:
        places, at, other = self._places, self._at, self._other
        first, sum_at, bounds = self.durations.at, self.durations.sum_at, _BOUNDS

        def observe(code: int, seconds: float) -> None:
            places[at.get(code, other)] += 1
            places[first + bisect_left(bounds, seconds)] += 1
            places[sum_at] += seconds

        return observe

    def codes(self, totals: Sequence[float]) -> dict[str, int]:
        """How many answers had each code that there was."""
        counts = {str(code): int(totals[place]) for code, place in self._at.items()}
        counts["other"] = int(totals[self._other])
        return {code: count for code, count in counts.items() if count}


class Gauge:
    """A number of this worker, of which all workers' sum is shown."""

    def __init__(self, counters: Counters) -> None:
        self._places, self.at = counters.places, counters.take(gauge=True)

    @property
    def value(self) -> int:
        return int(self._places[self.at])

    @value.setter
    def value(self, value: int) -> None:
        self._places[self.at] = value


class Metrics:
    """Everything that `/metrics` shows. `build` are the labels of `mlship_build_info`; `restarts` tells how
    many workers of the release were replaced, by reason. Each worker of a release makes the same figures in
    the same order."""

    def __init__(self, model: str, version: str, build: dict[str, str], counters: Counters) -> None:
        self._labels = _labelled({"model": model, "version": version})
        self._build = _labelled({"model": model, "version": version, **build})
        self._counters = counters
        self._routes: dict[str, RouteMetrics] = {}
        self.connections, self.waiting = Gauge(counters), Gauge(counters)
        self.model_durations = Histogram(counters)
        self.restarts: Callable[[], Mapping[str, int]] = dict

    def route(self, name: str) -> RouteMetrics:
        """The metrics of a route, made when first asked for."""
        found = self._routes.get(name)
        if found is None:
            found = self._routes[name] = RouteMetrics(name, self._counters)
        return found

    def render(self) -> bytes:
        return "".join(line + "\n" for line in self._lines(self._counters.totals())).encode()

    def _lines(self, totals: Sequence[float]) -> Iterator[str]:
        codes = {name: found for name, route in self._routes.items() if (found := route.codes(totals))}
        yield from _head("mlship_build_info", "gauge", "The bundle and the runtime that answer.")
        yield f"mlship_build_info{{{self._build}}} 1"
        yield from _head("mlship_connections", "gauge", "Open connections.")
        yield f"mlship_connections{{{self._labels}}} {int(totals[self.connections.at])}"
        yield from _head("mlship_queue_depth", "gauge", "Connections whose requests wait for the model.")
        yield f"mlship_queue_depth{{{self._labels}}} {int(totals[self.waiting.at])}"
        yield from _head(
            "mlship_worker_restarts_total", "counter", "Workers of the release that were replaced."
        )
        for reason, count in self.restarts().items():
            yield f'mlship_worker_restarts_total{{{self._labels},reason="{reason}"}} {count}'
        yield from _head("mlship_requests_total", "counter", "Requests answered.")
        for name, counts in codes.items():
            for code, count in counts.items():
                labels = f'{self._labels},route="{name}",code="{code}"'
                yield f"mlship_requests_total{{{labels}}} {count}"
        name = "mlship_request_duration_seconds"
        yield from _head(name, "histogram", "From the whole request to its answer, without the network.")
        for route in codes:
            yield from self._routes[route].durations.lines(name, f'{self._labels},route="{route}"', totals)
        yield from _head("mlship_model_duration_seconds", "histogram", "Reduction and model, per request.")
        yield from self.model_durations.lines("mlship_model_duration_seconds", self._labels, totals)


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _labelled(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
