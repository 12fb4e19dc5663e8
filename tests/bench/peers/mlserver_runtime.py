"""The model as a custom runtime of MLServer."""

from __future__ import annotations

import os

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxModel(MLModel):
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = os.environ["BENCH_MODEL"]
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.names_of_outputs = [node.name for node in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {x.name: NumpyCodec.decode_input(x) for x in payload.inputs}
        found = zip(self.names_of_outputs, self.session.run(self.names_of_outputs, feed), strict=True)
        outputs = [NumpyCodec.encode_output(name, y) for name, y in found]
        return InferenceResponse(model_name=self.name, outputs=outputs, id=payload.id)
