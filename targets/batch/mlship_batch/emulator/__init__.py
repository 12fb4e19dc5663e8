"""A z/OSMF with JES and data sets for those who have no test mainframe: it keeps real state in a folder and
really runs the steps of jobs."""
