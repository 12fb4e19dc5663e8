"""The model as a service of BentoML."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Bench:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = os.environ["BENCH_MODEL"]
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, x: np.ndarray) -> dict:
        label, probabilities = self.session.run(None, {"X": x.astype(np.float32)})
        return {"label": label.tolist(), "probabilities": probabilities.tolist()}
