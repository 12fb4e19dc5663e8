"""Jobs as values, checked when they are made, and what they are written as: JCL, or a shell script."""
