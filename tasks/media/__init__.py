"""Tasks on any media."""
