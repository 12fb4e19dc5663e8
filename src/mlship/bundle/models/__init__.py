"""A model of the project, as it is or converted, proved equal, and cut into layers."""
