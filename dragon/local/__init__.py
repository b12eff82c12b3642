"""`dragon run`: everything on one machine, and how the other commands find it there."""
