"""Asks a release for predictions, by the standard library alone: `Client`, or `Line` for whole requests."""

from mlship_runtime.client.client import Answer, Client, Refused
from mlship_runtime.client.line import Line, Request, Response, Unanswered
from mlship_runtime.client.tensors import Tensor

__all__ = ["Answer", "Client", "Line", "Refused", "Request", "Response", "Tensor", "Unanswered"]
