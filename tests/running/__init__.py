"""`dragon` as a person starts it: the command, settings, logs and health."""
