"""The model behind FastAPI and pydantic, in the form of V2: what one writes by hand."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
names = [node.name for node in session.get_outputs()]
datatypes = {"int64": "INT64", "float32": "FP32"}
app = FastAPI()


class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class InferRequest(BaseModel):
    inputs: list[Tensor]
    id: str | None = None


class InferResponse(BaseModel):
    model_name: str
    outputs: list[Tensor]
    id: str | None = None


@app.post("/v2/models/bench/infer")
async def infer(request: InferRequest) -> InferResponse:
    feed = {x.name: np.array(x.data, np.float32).reshape(x.shape) for x in request.inputs}
    found = zip(names, session.run(names, feed), strict=True)
    outputs = [
        Tensor(name=name, datatype=datatypes[str(y.dtype)], shape=list(y.shape), data=y.ravel().tolist())
        for name, y in found
    ]
    return InferResponse(model_name="bench", outputs=outputs, id=request.id)
