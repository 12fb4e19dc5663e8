"""Rows: examples read, made up and recorded, and what the bundle answers to them."""
