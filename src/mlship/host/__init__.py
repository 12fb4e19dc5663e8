"""A machine that can be reached: run a command there, put a file, get a file, connect to a service."""

from mlship.host.local import LocalHost
from mlship.host.protocol import Completed, Host

__all__ = ["Completed", "Host", "LocalHost"]
