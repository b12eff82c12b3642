"""One HTTP API each."""
