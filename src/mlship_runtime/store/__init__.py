"""A store in a folder: conditional key-value storage, here and at the far end of a connection."""
