"""Tasks of a site of its own, made to be waited for, broken and killed."""

MODULES = ("tests.site_tasks.family", "tests.site_tasks.tasks", "tests.site_tasks.chaos")
