"""What a release answers, as an OpenAPI 3.1 document made from the schema of its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional
from urllib.parse import quote

from mlship_runtime import __version__
from mlship_runtime.bundle.spec import Spec, TensorSpec
from mlship_runtime.model.datatypes import EXACT_WHOLE, NUMPY_TYPES, accepts, is_float, is_whole, limits_of

_JSON, _OCTETS, _CSV = "application/json", "application/octet-stream", "text/csv"
_LINES, _NPY, _METRICS = "application/jsonlines", "application/x-npy", "text/plain"
_ERROR = {"$ref": "#/components/schemas/Error"}
_BYTES: dict[str, Any] = {}  # of a body that is no JSON, OpenAPI 3.1 says nothing
_ANYWHERE = (400, 401, 404, 408, 431, 503)  # what any request may meet, before it is read or at a listener
_REASONS = {
    400: "The request does not fit: which column, which row",
    401: "The listener wants a token",
    404: "Another model or version, or a path that this listener does not serve",
    406: "None of the types in Accept can be answered",
    408: "The request did not come in time",
    413: "The body is too large",
    415: "The body is compressed, or its type is none of those above",
    431: "The header is too large",
    500: "The model or its reduction failed on this input",
    503: "Not ready, or busy: try again when Retry-After says",
}


def document(spec: Spec, digest: str) -> dict[str, Any]:
    """The whole document, for JSON."""
    model = f"/v2/models/{quote(spec.name, safe='')}"
    paths: dict[str, Any] = {
        "/v2": _reads(
            "serverMetadata", "The server", _object(name="string", version="string", extensions="array")
        ),
        "/v2/health/live": _reads("serverLive", "Whether the server runs", _object(live="boolean")),
        "/v2/health/ready": _asks("serverReady", "ready"),
        "/ping": _asks("ping", "ready"),
        "/healthz": _reads("healthz", "Whether the server runs", _object(live="boolean")),
        "/readyz": _asks("readyz", "ready"),
        "/metrics": _reads("metrics", "What the release counted, for Prometheus", _BYTES, _METRICS),
        "/openapi.json": _reads("openapi", "This document", _object(openapi="string", paths="object")),
        "/invocations": {"post": _invocations(spec)},
    }
    for path, suffix in ((model, ""), (f"{model}/versions/{digest}", "Version")):
        about = _object(name="string", versions="array", inputs="array", outputs="array")
        paths[path] = _reads(f"modelMetadata{suffix}", "The model's inputs and outputs", about)
        paths[f"{path}/ready"] = _asks(f"modelReady{suffix}", "ready", "name")
        paths[f"{path}/infer"] = {"post": _infer(spec, f"infer{suffix}")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": spec.name,
            "version": spec.version,
            "description": f"{digest}, mlship {__version__}",
        },
        "paths": paths,
        "components": {
            "schemas": {"Error": _object(error="string")},
        },
    }


def _object(**types: str) -> dict[str, Any]:
    properties = {name: {"type": kind} for name, kind in types.items()}
    return {"type": "object", "required": list(properties), "properties": properties}


def _reads(name: str, summary: str, schema: dict[str, Any], media_type: str = _JSON) -> dict[str, Any]:
    content = {media_type: {"schema": schema}}
    answers = {"200": {"description": summary, "content": content}, **_refusals(*_ANYWHERE)}
    return {"get": {"operationId": name, "summary": summary, "responses": answers}}


def _asks(name: str, *said: str) -> dict[str, Any]:
    """A question whose answer is no with 503."""
    types = {key: "boolean" if key == "ready" else "string" for key in said}
    said_no = _object(**types)
    found = _reads(name, "Whether the release answers", said_no)
    content = {_JSON: {"schema": {"anyOf": [said_no, _ERROR]}}}
    found["get"]["responses"]["503"] = {"description": _REASONS[503], "content": content}
    return found


def _refusals(*statuses: int) -> dict[str, Any]:
    content = {_JSON: {"schema": _ERROR}}
    return {str(status): {"description": _REASONS[status], "content": content} for status in statuses}


def _infer(spec: Spec, name: str) -> dict[str, Any]:
    tensors = [_given_tensor(tensor) for tensor in spec.inputs]
    request = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"]},
            "inputs": {**_each(tensors), "minItems": len(tensors), "maxItems": len(tensors)},
            "outputs": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": [output.name for output in spec.outputs]},
                        "parameters": _flags("binary_data"),
                    },
                },
            },
            "parameters": _flags("binary_data_output"),
        },
    }
    answer = {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": spec.name},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": _each([_told_tensor(tensor) for tensor in spec.outputs]),
        },
    }
    example = {"inputs": [_example_tensor(tensor) for tensor in spec.inputs]}
    return {
        "operationId": name,
        "summary": "A prediction, by the Open Inference Protocol V2",
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": request, "example": example}},
            "description": "With the header Inference-Header-Content-Length, tensors follow as bytes.",
        },
        "responses": {
            "200": {
                "description": "The outputs",
                "content": {_JSON: {"schema": answer}, _OCTETS: {"schema": _BYTES}},
            },
            **_refusals(*_ANYWHERE, 413, 415, 500),
        },
    }


def _flags(name: str) -> dict[str, Any]:
    kind = "boolean" if name == "binary_data_output" else ["boolean", "null"]
    return {"type": ["object", "null"], "properties": {name: {"type": kind}}}


def _invocations(spec: Spec) -> dict[str, Any]:
    names = ["instances", "inputs", "dataframe_split", "dataframe_records"]
    rows = {"type": "array", "minItems": 1}
    forms: dict[str, Any] = {
        "instances": rows,
        "inputs": {"type": ["object", "array"] if len(spec.inputs) == 1 else "object"},
        "dataframe_split": {"type": "object", "required": ["data"], "properties": {"data": rows}},
        "dataframe_records": {**rows, "items": {"type": "object", "minProperties": 1}},
        "params": {"type": ["object", "null"], "maxProperties": 0},
    }
    table = {"type": "object", "properties": forms, "additionalProperties": False}
    table["oneOf"] = [{"required": [name]} for name in names]
    columns = {tensor.name: _example_rows(tensor) for tensor in spec.inputs}
    answer = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "minItems": 1}},
    }
    told = {_JSON: {"schema": answer}, _CSV: {"schema": _BYTES}, _LINES: {"schema": _BYTES}}
    if len(spec.outputs) == 1 and spec.outputs[0].datatype != "BYTES":
        told[_NPY] = {"schema": _BYTES}
    taken = {_JSON: {"schema": {"anyOf": [table, rows]}, "example": {"inputs": columns}}}
    taken.update({kind: {"schema": _BYTES} for kind in (_CSV, _LINES, _NPY)})
    return {
        "operationId": "invocations",
        "summary": "A prediction, in the forms of MLflow and SageMaker",
        "requestBody": {"required": True, "content": taken},
        "responses": {
            "200": {"description": "One prediction for each row", "content": told},
            **_refusals(*_ANYWHERE, 406, 413, 415, 500),
        },
    }


def _each(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "items": schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}}


def _given_tensor(spec: TensorSpec) -> dict[str, Any]:
    """Flat data; what is nested like the shape is taken, too."""
    kinds = [name for name in NUMPY_TYPES if accepts(spec.datatype, name)]
    sizes = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}
    values = {"type": "array", "items": {"anyOf": [_value(spec), {"type": "array"}]}}
    properties = {"name": {"const": spec.name}, "datatype": {"enum": kinds}, "shape": sizes, "data": values}
    return {"type": "object", "required": ["name", "datatype", "shape"], "properties": properties}


def _told_tensor(spec: TensorSpec) -> dict[str, Any]:
    value = _value(spec)
    value = {"type": [value["type"], "null"]} if isinstance(value.get("type"), str) else value
    properties = {
        "name": {"const": spec.name},
        "datatype": {"const": spec.datatype},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": len(spec.shape)},
        "data": {"type": "array", "items": value},
    }
    return {"type": "object", "required": ["name", "datatype", "shape"], "properties": properties}


def _value(spec: TensorSpec) -> dict[str, Any]:
    """One value, as JSON has it."""
    if spec.datatype == "BYTES":
        found: dict[str, Any] = {"type": "string"}
    elif spec.datatype == "BOOL":
        return {"enum": [True, False, 0, 1, *([None] if spec.nullable else [])]}
    else:
        low, high = limits_of(spec.datatype)
        if is_whole(spec.datatype) and spec.nullable:
            low, high = max(low, -EXACT_WHOLE), min(high, EXACT_WHOLE)
        found = {"type": "number" if is_float(spec.datatype) else "integer", "minimum": low, "maximum": high}
    return {**found, "type": [found["type"], "null"]} if spec.nullable else found


def _example_tensor(spec: TensorSpec) -> dict[str, Any]:
    shape = [1, *(max(size, 1) for size in spec.shape[1:])]
    count = 1
    for size in shape:
        count *= size
    return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": [_example(spec)] * count}


def _example_rows(spec: TensorSpec) -> list[Any]:
    """One row, nested."""
    found: Any = _example(spec)
    for size in reversed(spec.shape[1:]):
        found = [found] * max(size, 1)
    return [found]


def _example(spec: TensorSpec) -> Optional[Any]:
    seen = spec.seen
    if seen is not None and seen.values:
        return seen.values[0]
    if seen is not None and seen.low is not None:
        return int(seen.low) if is_whole(spec.datatype) else seen.low
    return {"BYTES": "", "BOOL": False}.get(spec.datatype, 0)
