"""What runs on a target after deploy, and what both sides need. Imports nothing of mlship."""

__version__ = "0.1.0"
