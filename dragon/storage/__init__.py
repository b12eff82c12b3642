"""Where files lie: the local disk, and the stores of the settings."""
