"""Bundles in an OCI registry: the same blobs and the same manifest, byte for byte, over HTTP."""
