"""Records as COBOL describes them: copybooks, layouts, code pages, and their bytes as columns of NumPy."""
