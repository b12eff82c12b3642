"""Answers with files: redirects to them, placeholders for them, and themselves."""
