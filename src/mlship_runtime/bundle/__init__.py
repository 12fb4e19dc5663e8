"""The bundle format: manifest, spec, layers, and what proves that they are whole. Standard library only."""
