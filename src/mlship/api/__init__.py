"""The verbs in Python, for notebooks and scripts: what `import mlship` offers (docs/adr/0038-python.md)."""
