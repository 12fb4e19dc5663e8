"""The `ssh` target: releases run on a machine that is reached by SSH, with nothing on it but Python."""

from mlship_ssh.adapter import adapter

__all__ = ["adapter"]
