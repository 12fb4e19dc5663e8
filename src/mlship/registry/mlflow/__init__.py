"""The registry of an MLflow server, spoken to by its REST interface; MLflow itself is never imported."""
