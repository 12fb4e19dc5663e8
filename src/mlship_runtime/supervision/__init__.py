"""The processes of a service: workers, the supervisor that keeps them and holds the port, how they talk."""
