"""Tells what routes and tasks there are."""
