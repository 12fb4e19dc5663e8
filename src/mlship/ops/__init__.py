"""What mlship does: one module per verb, called by the command line and from Python. Results are frozen values."""
