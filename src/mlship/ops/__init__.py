"""What mlship does: one module per verb, for the command line and for Python. Results are frozen values."""
