"""Keys, signatures, and what a target asks of them."""
