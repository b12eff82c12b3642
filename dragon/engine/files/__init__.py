"""The files that tasks make: where they go, who may have them, and how long."""
