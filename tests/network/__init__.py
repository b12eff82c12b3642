"""What goes out to other hosts, and where it may not go."""
