"""Proves the promises of docs/promises.md under seeded random faults: `make chaos`."""
