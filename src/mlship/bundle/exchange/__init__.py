"""Bundles as one file, parts of them for other tools, and what two of them differ in."""
