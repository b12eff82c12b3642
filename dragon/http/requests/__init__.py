"""Reads requests: who asks, and for what."""
