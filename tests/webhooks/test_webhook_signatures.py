"""Signatures of web hooks, as others check them; and what the documentation tells others to do."""

import asyncio
import base64
import json
import re
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import playwright
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from dragon.webhook_signatures import is_secret, sign
from tests.support.accounts import WEBHOOK_SECRETS
from tests.support.paths import ROOT
from tests.support.topologies import free_port
from tests.support.waiting import until

BODY = '{"status":"success","result":"Zoë"}'.encode()
NODE = Path(playwright.__file__).parent / "driver" / "node"


def headers(body: bytes = BODY, *secrets: str, age_seconds: int = 0) -> dict[str, str]:
    moment = int(time.time()) - age_seconds
    return {
        "webhook-id": "A" * 26,
        "webhook-timestamp": str(moment),
        "webhook-signature": sign(secrets or WEBHOOK_SECRETS, "A" * 26, moment, body),
    }


def secret_of(length: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(length))).decode()


@pytest.mark.parametrize("length", [24, 25, 32, 63, 64])
def test_the_public_library_takes_what_any_secret_signs(length: int) -> None:
    for secret in (secret_of(length), secret_of(length).rstrip("=")):
        assert is_secret(secret)
        told = Webhook(secret).verify(BODY, headers(BODY, WEBHOOK_SECRETS[0], secret))
        assert told == json.loads(BODY)


def test_it_refuses_another_body_another_secret_and_another_id() -> None:
    good = headers()
    Webhook(WEBHOOK_SECRETS[0]).verify(BODY, good)
    for secret, body, changed in (
        (WEBHOOK_SECRETS[0], BODY + b" ", good),
        (secret_of(32), BODY, good),
        (WEBHOOK_SECRETS[0], BODY, good | {"webhook-id": "B" * 26}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, changed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        secret_of(23),
        secret_of(65),
        secret_of(32).removeprefix("whsec_"),
        "WHSEC_" + secret_of(32).removeprefix("whsec_"),
        secret_of(32) + "!",
        secret_of(32).replace("A", "-"),
        "whsec_" + "ü" * 32,
        "whsec_A" + "A" * 32,
    ],
)
def test_what_is_no_secret_is_known(text: str) -> None:
    assert not is_secret(text)


def examples(language: str) -> list[str]:
    page = (ROOT / "docs" / "webhooks.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def cases() -> list[tuple[dict[str, str], bytes, bool]]:
    """Headers and body, and whether they are by the first secret, of these minutes."""
    return [
        (headers(), BODY, True),
        (headers(BODY, WEBHOOK_SECRETS[1], WEBHOOK_SECRETS[0]), BODY, True),
        (headers(), BODY + b" ", False),
        (headers(BODY, WEBHOOK_SECRETS[1]), BODY, False),
        (headers(age_seconds=3600), BODY, False),
        (headers(age_seconds=-3600), BODY, False),
        (headers() | {"webhook-signature": "v1,"}, BODY, False),
    ]


def test_the_examples_in_python_tell_what_is_genuine() -> None:
    by_library, by_hand, _ = examples("python")
    names: dict[str, Any] = {}
    exec(by_hand, names)  # noqa: S102
    for head, body, is_genuine in cases():
        assert names["is_genuine"](WEBHOOK_SECRETS[0], head, body) == is_genuine
    names = {"secret": WEBHOOK_SECRETS[0], "body": BODY, "headers": headers()}
    exec(by_library, names)  # noqa: S102
    assert names["status"] == json.loads(BODY)


async def test_the_receiver_to_try_it_with_prints_what_comes(tmp_path: Path) -> None:
    _, by_hand, receiver = examples("python")
    [secret] = re.findall(r'^SECRET = "(.+)"$', receiver, re.MULTILINE)
    port = free_port()
    script = tmp_path / "receiver.py"
    script.write_text(f"{by_hand}\n\n{receiver}".replace("9000", str(port)))
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-u", script, stdout=PIPE, stderr=DEVNULL
    )
    assert running.stdout
    try:
        for sent, words in ((headers(BODY, secret), b"True "), (headers(BODY), b"False ")):
            assert await post(f"http://127.0.0.1:{port}/done", sent) == 204
            assert await running.stdout.readline() == words + BODY + b"\n"
    finally:
        running.kill()
        await running.wait()


async def post(url: str, sent: dict[str, str]) -> int:
    """The status; the server may need a moment to start."""
    async with aiohttp.ClientSession() as session:

        async def ask() -> int | None:
            with suppress(aiohttp.ClientConnectorError):
                async with session.post(url, data=BODY, headers=sent) as answer:
                    return answer.status
            return None

        return await until(ask) or 0


def test_the_example_in_javascript_does_too(tmp_path: Path) -> None:
    [example] = examples("js")
    (tmp_path / "example.mjs").write_text(example)
    asked = cases()
    given = [[WEBHOOK_SECRETS[0], head, body.decode()] for head, body, _ in asked]
    (tmp_path / "main.mjs").write_text(
        'import { isGenuine } from "./example.mjs";\n'
        f"const cases = {json.dumps(given)};\n"
        "const told = cases.map(([s, h, b]) => isGenuine(s, h, Buffer.from(b)));\n"
        "console.log(JSON.stringify(told));\n"
    )
    done = subprocess.run(
        [NODE, tmp_path / "main.mjs"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [is_genuine for _, _, is_genuine in asked]
