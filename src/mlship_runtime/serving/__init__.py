"""The REST API over HTTP/1.1, and how connections pass from one release to the next."""
