"""Streams of statuses, as lines and as server-sent events."""
