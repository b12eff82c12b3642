"""What a worker does: claim, run, tell, and write how it ended."""
