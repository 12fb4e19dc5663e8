"""Bundle and base image become a container image: the same layers under another manifest, without an
engine."""
