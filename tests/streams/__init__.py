"""Whoever waits is told: streams, events and what they stand on."""
