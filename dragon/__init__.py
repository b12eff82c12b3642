"""Dragon: a self-hosted media task server."""

__version__ = "0.1.0"
