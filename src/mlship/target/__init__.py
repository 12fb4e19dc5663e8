"""Targets: what an adapter is, and the plan, rollout, ledger and history that every adapter gets for
nothing.
"""
