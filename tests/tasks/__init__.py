"""Every task, and what tasks share."""
