"""Bundles: what they are made of, how they are built, read and verified."""
