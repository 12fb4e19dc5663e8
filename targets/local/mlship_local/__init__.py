"""The `local` target: releases run on this machine, each in its own process with its own runtime layer."""

from mlship_local.adapter import adapter

__all__ = ["adapter"]
