"""Making signed URLs: in Python, in JavaScript and with the command."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from dragon.signing import sign_url
from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.commands import dragon_command, here
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon

pytestmark = pytest.mark.usefixtures("no_bugs")

NODE = shutil.which("node")
URL = "https://dragon.example.com/v2/create_file/cat.jpg?task_name=image.thumb&width=200&url=x"
NOW = 1_800_000_000.5


def sign(url: str, **options: Any) -> str:
    return sign_url(url, **{"account": "acme", "secret": SECRET, **options})


def test_a_signed_url_is_the_url_with_account_expiry_and_signature_and_no_secret() -> None:
    signed = sign(URL, seconds=60, now=NOW)
    assert re.fullmatch(
        re.escape(URL) + r"&account=acme&expires=1800000061&signature=[A-Za-z0-9_-]{43}", signed
    )
    assert SECRET not in signed


def test_urls_made_in_the_same_period_are_the_same_and_good_long_enough() -> None:
    urls = {
        sign(URL, seconds=3600, round_seconds=86_400, now=1_800_000_000 + seconds)
        for seconds in range(0, 86_400, 3600)
    }
    assert len(urls) == 2
    for number, url in enumerate(sorted(urls)):
        [expires] = [
            int(value) for name, value in parse_qsl(urlsplit(url).query) if name == "expires"
        ]
        assert expires % 86_400 == 0
        assert expires >= 1_800_000_000 + 3600 + number * 86_400 - 86_400


@pytest.mark.parametrize(
    "url",
    [
        "https://dragon.example.com/v2/create?task_name=hello",
        "https://dragon.example.com/v2/create_file/a/b?task_name=hello",
        "https://dragon.example.com/v3/create_file?task_name=hello",
        URL + "#top",
        *(f"{URL}&{name}=1" for name in ("account", "expires", "signature", "secret", "api_key")),
    ],
)
def test_only_urls_of_create_file_that_say_nothing_of_the_signature_are_signed(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        sign(url)


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 0},
        {"seconds": -1},
        {"round_seconds": 0},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"round_seconds": 10**11},
    ],
)
def test_a_url_that_was_never_good_is_not_made(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="seconds"):
        sign(URL, **options)


def test_signing_needs_nothing_but_the_standard_library() -> None:
    code = "import dragon.signing; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.append({str(ROOT)!r}); {code}",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) - sys.stdlib_module_names - {"__main__"} == {"dragon"}


QUERIES = [
    "task_name=image.thumb&url=https%3A%2F%2Ffiles.example.com%2Fcat.jpg%3Fa%3D1%26b%3D2&width=200",
    "task_name=image.thumb&url=https://files.example.com/a?b&crop=&wait",
    "b=2&a=1&b=1&a=2&&B=3&%C3%A9=1&e=2",
    "name=it's+(a)+*test*!%7E~-_.%20%2B&quoted=%22%5C%00&letters=%C3%A9%E2%82%AC%F0%9F%90%89é€🐉",
    "bad=%zz%2&worse=%ff%C3&plus=a+b%2Bc",
    "",
]
PATHS = [
    "/v2/create_file/cat.jpg",
    "/v1/create_file",
    "/v2/create_file/",
    "/v2/create_file/a%20b%2Fé'(1).jpg",
    "/v2/create_file/100%+1&1=%zz%ff%C3.jpg",
]


# Where every change is tested there is a Node: there, one that is missing is a failure.
@pytest.mark.skipif(
    NODE is None and "CI" not in os.environ, reason="there is no Node on this machine"
)
def test_javascript_signs_as_python_does(dragon: Dragon, tmp_path: Path) -> None:
    module = tmp_path / "sign.mjs"
    module.write_bytes((ROOT / "dragon/web/sign.js").read_bytes())
    urls = [f"https://example.com{path}?{query}" for path in PATHS for query in QUERIES]
    signing = {"account": "acme", "secret": "sécret", "seconds": 60, "roundSeconds": 7, "now": NOW}
    script = f"""
        import {{ signURL }} from "./sign.mjs";
        const urls = {json.dumps(urls)}, signing = {json.dumps(signing)};
        console.log(JSON.stringify(await Promise.all(urls.map((url) => signURL(url, signing)))));
        for (const url of ["https://x/v2/create", "https://x/v2/create_file?secret=1"])
          await signURL(url, signing).then(process.exit, (error) => console.log(`${{error}}`));
        for (const wrong of [{{ seconds: NaN }}, {{ seconds: Infinity }}, {{ roundSeconds: 1e11 }}])
          await signURL(urls[0], {{ ...signing, ...wrong }}).then(process.exit, () => {{}});
    """
    command = [str(NODE), "--input-type=module", "--eval", script]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    signed, *errors = ended.stdout.splitlines()
    options: dict[str, Any] = {"round_seconds": signing.pop("roundSeconds"), **signing}
    assert json.loads(signed) == [sign_url(url, **options) for url in urls]
    assert errors == [
        "TypeError: the URL must lead to /v2/create_file, and have no fragment",
        "TypeError: the URL has the parameter secret already",
    ]


async def test_the_module_that_signs_is_served_with_its_types(api: Api) -> None:
    for name, content_type in (("sign.js", "text/javascript"), ("sign.d.ts", "typescript")):
        answer = await api.ask("GET", f"/{name}")
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
        assert content_type in answer.headers["Content-Type"]
        assert b"signURL" in answer.body


# The command


def test_the_command_signs_for_the_dragon_that_runs_here(demo: Dragon) -> None:
    ended = dragon_command(
        "sign", "image.thumb", "url=https://example.com/a?b=1&c=2", "width=40",
        "--file", "my cat.jpg", "--seconds", "60", "--round", "3600", *here(demo),
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    url = urlsplit(ended.stdout.strip())
    assert url.path == "/v2/create_file/my%20cat.jpg"
    query = dict(parse_qsl(url.query))
    assert query["url"] == "https://example.com/a?b=1&c=2"
    assert query["account"] == "demo"
    assert int(query["expires"]) % 3600 == 0


async def test_what_the_command_signs_is_good(api: Api, dragon: Dragon, origin: Origin) -> None:
    ended = dragon_command(
        "sign", "image.thumb", f"url={origin.url('rocket.jpg')}", "width=40",
        "--account", "acme", "--url", dragon.url, DRAGON_SECRET=SECRET,
    )  # fmt: skip
    signed = ended.stdout.strip().removeprefix(dragon.url)
    assert (await api.ask("GET", signed)).status == 302


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("image.thumb", "width"), "'width' is not of the form KEY=VALUE"),
        (("image.thumb", "secret=1"), "the URL has the parameter secret already"),
        (("image.thumb", "--seconds", "0"), "--seconds"),
    ],
)
def test_the_command_says_what_it_cannot_sign(arguments: tuple[str, ...], words: str) -> None:
    options = ("--account", "acme", "--url", "http://127.0.0.1:1")
    ended = dragon_command("sign", *arguments, *options, DRAGON_SECRET="secret")
    assert ended.returncode != 0
    assert words in ended.stderr


def test_the_command_asks_whose_secret_it_is() -> None:
    ended = dragon_command("sign", "hello", "--url", "http://127.0.0.1:1", DRAGON_SECRET="secret")
    assert ended.returncode == 2
    assert "which account's secret is it?" in ended.stderr


def test_the_command_asks_for_a_secret() -> None:
    ended = dragon_command("sign", "image.thumb", "--url", "http://127.0.0.1:1", DRAGON_SECRET="")
    assert ended.returncode == 2
    assert "which secret?" in ended.stderr
