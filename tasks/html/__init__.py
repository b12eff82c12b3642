"""Tasks on pages."""
