"""The pages and pictures a browser gets."""
