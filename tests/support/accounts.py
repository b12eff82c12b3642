"""The accounts of the Dragon that tests share, and all its settings."""

SECRET = "acme-secret"
KEEPER = "keeper-secret"
API_KEY = "acme-api-key"
WEBHOOK_SECRETS = (
    "whsec_b2xkIHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
    "whsec_bmV3IHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
)
WEBHOOK_TRIES = 4
PAGE = "https://example.com/page.html"

CONFIG = """
task_packages = ["tasks", "tests.site_tasks"]
fetch_allow = ["127.0.0.1"]
lease_seconds = 2.0
retry_base_seconds = 0.1
drain_seconds = 1.0
webhook_retry_seconds = [0.0, 0.1, 0.1, 0.1]
webhook_timeout_seconds = 3.0
wait_seconds = 0.5

[[accounts]]
name = "acme"
secrets = ["acme-secret"]
webhook_secrets = [
    "whsec_b2xkIHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
    "whsec_bmV3IHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
]
[[accounts.api_keys]]
key = "acme-api-key"
referrers = ["example.com", "*.example.org"]

[[accounts]]
name = "other"
secrets = ["other-secret", "other-older-secret"]

[[accounts]]
name = "keeper"
secrets = ["keeper-secret"]
[[accounts.api_keys]]
key = "keeper-api-key"
referrers = ["example.com"]

[[accounts]]
name = "any"
secrets = ["any-secret"]

[[accounts]]
name = "emptied"
secrets = ["emptied-secret"]

[[accounts]]
name = "few"
secrets = ["few-secret"]
limits = { queued = 5 }

[[accounts]]
name = "one"
secrets = ["one-secret"]
limits = { running = 1 }

[[accounts]]
name = "slow"
secrets = ["slow-secret"]
limits = { per_minute = 5 }

[[accounts]]
name = "family"
secrets = ["family-secret"]
limits = { per_minute = 5 }
"""

PATIENT = CONFIG.replace("drain_seconds = 1.0", "drain_seconds = 60.0")
"""The same, where servers and workers that leave have time."""
