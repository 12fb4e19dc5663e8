"""The `docker` target: releases run in containers of an engine, behind a front that keeps their port."""

from importlib.util import find_spec

if find_spec("docker") is None:  # imported when an engine is asked for something; what is missing is said now
    raise ModuleNotFoundError("No module named 'docker'", name="docker")

from mlship_docker.adapter import adapter

__all__ = ["adapter"]
