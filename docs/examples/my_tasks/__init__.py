"""The tasks of a site of its own."""

MODULES = ("my_tasks.words",)
"""Every module that holds a task."""
