"""Measures Dragon beside bare handlers that do as little as can be done: `make bench`."""
