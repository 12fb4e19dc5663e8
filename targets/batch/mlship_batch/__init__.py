"""Batch hosts: models on systems that think in jobs, data sets and return codes."""
