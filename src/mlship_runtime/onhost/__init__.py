"""The far side of every command on a host: one JSON request in, one JSON answer out."""
