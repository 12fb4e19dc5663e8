"""Files of rows in, files of answers out: in chunks, on all cores, and going on where it was killed."""
