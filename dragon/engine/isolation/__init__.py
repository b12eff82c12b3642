"""Child processes that decode files, confined."""
