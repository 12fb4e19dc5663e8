"""The REST interfaces of z/OSMF: jobs, data sets, files, and what it says of itself."""
