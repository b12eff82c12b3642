"""Warm, confined child processes in which files from strangers are decoded."""
