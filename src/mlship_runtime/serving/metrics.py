"""Counters of one worker in the Prometheus text format, version 0.0.4, written by hand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Histogram:
    """Durations in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(repr, _BOUNDS), "+Inf"), self._counts):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum!r}"
        yield f"{name}_count{{{labels}}} {total}"


class RouteMetrics:
    """Requests of one route: how many by status code, how long."""

    def __init__(self, route: str) -> None:
        self.route = route
        self.codes: dict[int, int] = {}
        self.durations = Histogram()
        self.observe_duration = self.durations.observe

    def observe(self, code: int, seconds: float) -> None:
        codes = self.codes
        codes[code] = codes.get(code, 0) + 1
        self.observe_duration(seconds)


class Metrics:
    """Everything that `/metrics` shows. `build` are the labels of `mlship_build_info`."""

    def __init__(self, model: str, version: str, build: dict[str, str]) -> None:
        self._labels = _labelled({"model": model, "version": version})
        self._build = _labelled({"model": model, "version": version, **build})
        self._routes: dict[str, RouteMetrics] = {}
        self.model_durations = Histogram()

    def route(self, name: str) -> RouteMetrics:
        """The metrics of a route, made when first asked for."""
        return self._routes.setdefault(name, RouteMetrics(name))

    def render(self, connections: int) -> bytes:
        return "".join(line + "\n" for line in self._lines(connections)).encode()

    def _lines(self, connections: int) -> Iterator[str]:
        seen = [route for route in self._routes.values() if route.codes]
        yield from _head("mlship_build_info", "gauge", "The bundle and the runtime that answer.")
        yield f"mlship_build_info{{{self._build}}} 1"
        yield from _head("mlship_connections", "gauge", "Open connections.")
        yield f"mlship_connections{{{self._labels}}} {connections}"
        yield from _head("mlship_requests_total", "counter", "Requests answered.")
        for route in seen:
            for code, count in sorted(route.codes.items()):
                labels = f'{self._labels},route="{route.route}",code="{code}"'
                yield f"mlship_requests_total{{{labels}}} {count}"
        name = "mlship_request_duration_seconds"
        yield from _head(name, "histogram", "From the whole request to its answer, without the network.")
        for route in seen:
            yield from route.durations.lines(name, f'{self._labels},route="{route.route}"')
        yield from _head("mlship_model_duration_seconds", "histogram", "Reduction and model, per request.")
        yield from self.model_durations.lines("mlship_model_duration_seconds", self._labels)


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _labelled(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
