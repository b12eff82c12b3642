"""Configuration files."""

from pathlib import Path

EXAMPLE = """
public_url = "https://dragon.example.com"
fetch_allow = ["127.0.0.1:9000", "10.1.0.0/16"]
[[accounts]]
name = "acme"
secrets = ["123456"]
limits = { queued = 1000, running = 50, per_minute = 6000 }
[[accounts.api_keys]]
key = "654321"
referrers = ["example.com", "*.example.org"]
"""


def write(folder: Path, text: str) -> str:
    path = folder / "dragon.toml"
    path.write_text(text)
    return str(path)
