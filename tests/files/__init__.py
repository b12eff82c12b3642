"""Output files: made, kept, listed, served, forgotten."""
