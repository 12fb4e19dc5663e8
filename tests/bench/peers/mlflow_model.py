"""mlflow_model.py MODEL FOLDER: the ONNX model as an MLflow model."""

from __future__ import annotations

import sys

import mlflow
import numpy as np
import onnx

row = np.ones((1, 30), np.float32)
mlflow.onnx.save_model(
    onnx.load(sys.argv[1]),
    sys.argv[2],
    signature=mlflow.models.infer_signature(row, {"label": np.ones(1, np.int64)}),
    onnx_execution_providers=["CPUExecutionProvider"],
    onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    pip_requirements=["mlflow"],
)
