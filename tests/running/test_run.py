"""`dragon run` as a person starts it: a first thumbnail, credentials, what is taken."""

import contextlib
import json
import re
import socket
import subprocess
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import pyvips

from tests.support.accounts import SECRET
from tests.support.commands import UNKNOWN, created_key, credentials, dragon_command, here
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS


def test_the_printed_command_makes_a_thumbnail(demo: Dragon, tmp_path: Path) -> None:
    [line] = [line for line in demo.output if "curl" in line]
    subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True, timeout=DEADLINE_SECONDS)
    picture = pyvips.Image.new_from_file(str(tmp_path / "thumb.jpg"))
    assert (picture.get("vips-loader"), picture.width) == ("jpegload", 200)


def test_the_command_printed_with_configured_accounts_works_with_any_of_them(
    dragon: Dragon,
) -> None:
    [line] = [line for line in dragon.output if "curl" in line]
    command = line.replace("YOUR-SECRET", SECRET)
    printed = subprocess.check_output(["/bin/sh", "-c", command], timeout=DEADLINE_SECONDS)
    [final] = json.loads(printed)
    assert (final["status"], final["result"]) == ("success", "Hello John")


def test_a_second_start_keeps_the_credentials_and_the_tasks(tmp_path: Path) -> None:
    with Dragon(tmp_path, config=None) as first:
        kept = credentials(first)
        key = created_key(first, "John")
    with Dragon(tmp_path, config=None) as second:
        assert credentials(second) == kept
        ended = dragon_command("status", key, *here(second))
        assert json.loads(ended.stdout)["result"] == "Hello John"


def test_only_the_owner_may_read_the_files_with_the_credentials(demo: Dragon) -> None:
    for name in ("demo.json", "running.json"):
        assert (demo.data / name).stat().st_mode & 0o777 == 0o600


def test_a_data_directory_serves_one_dragon_at_a_time(demo: Dragon) -> None:
    ended = dragon_command("run", "--port", "0", *here(demo))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"dragon: another `dragon run` uses the data directory {demo.data}\n"
    assert dragon_command("create", "hello", "name=John", "--wait", *here(demo)).returncode == 0


@pytest.mark.parametrize("servers", ["1", "2"])
def test_a_taken_port_is_told_in_one_line(demo: Dragon, tmp_path: Path, servers: str) -> None:
    port = str(urlsplit(demo.url).port)
    check_is_taken(port, tmp_path, servers)


def test_a_port_that_servers_share_is_taken_for_any_other(tmp_path: Path) -> None:
    with Dragon(tmp_path / "here", "--servers", "2", config=None) as dragon:
        for servers in ("1", "2"):
            check_is_taken(str(urlsplit(dragon.url).port), tmp_path / "there", servers)


def check_is_taken(port: str, data: Path, servers: str) -> None:
    ended = dragon_command("run", "--port", port, "--data", str(data), "--servers", servers)
    assert (ended.returncode, ended.stdout) == (2, "")
    words = f"dragon: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert ended.stderr == words


def test_credentials_are_on_no_command_line_and_in_no_log(demo: Dragon) -> None:
    secret, api_key = credentials(demo)
    for name, value in (("secret", secret), ("api_key", api_key)):
        query = urlencode({"task_name": "hello", "name": "John", name: value})
        assert ask(demo, f"/v1/create_file/x?{query}", Referer="http://localhost/") == 404
        assert ask(demo, f"/v1/status?tasks={UNKNOWN}&{name}={value}") == 404
        assert ask(demo, f"/nothing?{name}={value}") == 404
    assert demo.decoders()
    for process in demo.family():
        assert not {secret, api_key} & set(re.split(r"[\s=\"]", " ".join(process.cmdline())))
    for path in files_below(demo.data):
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
        if secret.encode() in content or api_key.encode() in content:
            assert path.name in ("demo.json", "running.json"), path


def ask(dragon: Dragon, path: str, **headers: str) -> int:
    connection = HTTPConnection(urlsplit(dragon.url).netloc, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_data_directory_may_have_any_length_and_blanks(tmp_path: Path) -> None:
    data = tmp_path / ("a long name " * 12) / "data"
    # Other tests may use the common one just now.
    with tempfile.TemporaryDirectory() as temporary:
        with Dragon(data, config=None, TMPDIR=temporary) as dragon:
            assert list(Path(temporary).glob("dragon-*"))
            ended = dragon_command("create", "hello", "name=John", "--wait", *here(dragon))
            assert json.loads(ended.stdout)["result"] == "Hello John"
        assert not list(Path(temporary).glob("dragon-*"))


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("servers", ["1", "2"])
def test_it_listens_on_ipv6_as_well(tmp_path: Path, servers: str) -> None:
    with Dragon(tmp_path, "--host", "::1", "--servers", servers, config=None) as dragon:
        assert dragon.url.startswith("http://[::1]:")
        ended = dragon_command(
            "create", "image.thumb", f"url={dragon.url}/static/sample.jpg", "width=20", "--wait",
            *here(dragon),
        )  # fmt: skip
        assert json.loads(ended.stdout)["result"]["width"] == 20
