"""Submits, watches and runs jobs."""
