"""The command line: thin verbs, rendering, exit codes. Only here are typer and rich known."""
