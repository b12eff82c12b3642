"""The tasks that Dragon ships; a package of one's own looks just like this one."""

MODULES = ("tasks.hello", "tasks.image.info", "tasks.image.thumb", "tasks.image.thumbs")
"""Every module that holds a task."""

WARM = ("tasks.toolkit.vips",)
"""What decoder children import when they start, before a job waits for them."""
