"""JCL as JES and the converter read it: cards, statements, operands, conditions."""
