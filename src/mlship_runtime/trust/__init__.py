"""Who made a bundle: signatures, checked with the standard library alone."""
