"""Requests over HTTP: who asks, for what, and what is answered."""
