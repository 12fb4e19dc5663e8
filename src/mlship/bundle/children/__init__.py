"""What runs in the project's interpreter, where its packages and its code are: load, reduce, convert.

Nothing of mlship is imported here, only the ground floor (`mlship_runtime`, by explicit path) and what the
project's interpreter has. The syntax is Python 3.9's.
"""
