"""A forgotten password from end to end: a real `netpulse serve`, a real mail server, and a person
who follows the link in the letter.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.instance import EMAIL, PASSWORD, ROOT, SOURCE, Instance
from tests.mailbox import Mailbox

NEW = "nine patient herons"


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with Mailbox() as opened:
        yield opened


@pytest.fixture
def instance(tmp_path: Path) -> Any:
    made = Instance(tmp_path / "data")
    yield made
    made.close()


def environ(instance: Instance, box: Mailbox) -> dict[str, str]:
    return {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(box.port),
        "SMTP_FROM": "NetPulse <netpulse@example.com>",
        "NETPULSE_SMTP_SECURITY": "none",
        "NETPULSE_SERVER_PUBLIC_URL": instance.base,
    }


async def start(instance: Instance, box: Mailbox) -> None:
    await asyncio.to_thread(instance.start, environ=environ(instance, box))


async def until(what: str, look: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)
    return found


async def call(instance: Instance, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    status, _, answer = await asyncio.to_thread(instance.call, method, path, body)
    return status, answer


def subjects(box: Mailbox) -> list[str]:
    return [str(mail["Subject"]) for mail in box.messages]


def link_in(mail: EmailMessage, instance: Instance) -> str:
    """Return the path of the only link in a letter; it leads to the instance."""
    (url,) = re.findall(r"https?://\S+", mail.get_content())
    assert url.startswith(f"{instance.base}/reset/")
    return urlsplit(url).path


async def login(instance: Instance, password: str) -> int:
    body = {"email": EMAIL, "password": password}
    return (await call(instance, "POST", "/v1/auth/login", body))[0]


async def test_forgotten_mailed_set_and_signed_in(instance: Instance, box: Mailbox) -> None:
    await start(instance, box)
    await asyncio.to_thread(instance.register)
    asked = await call(instance, "POST", "/v1/auth/password/forgot", {"email": EMAIL})
    unknown = await call(instance, "POST", "/v1/auth/password/forgot", {"email": "x@example.com"})
    assert asked == unknown == (200, {"success": True, "data": None})
    await until("the letter", lambda: box.messages)
    (mail,) = box.messages
    assert mail["To"] == EMAIL
    assert mail["Subject"] == "Set a new password for NetPulse"
    path = link_in(mail, instance)
    status, page = await call(instance, "GET", path)
    assert status == 200
    assert "Set a new password" in page

    def post() -> tuple[int, str | None]:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=15)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": instance.base}
        connection.request("POST", path, urlencode({"password": NEW}), headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("location")

    assert await asyncio.to_thread(post) == (303, "/login?told=password-set")
    # The sign-in from before has ended, the old password with it.
    assert (await call(instance, "GET", "/v1/monitors"))[0] == 401
    assert await login(instance, PASSWORD) == 401
    assert await login(instance, NEW) == 200
    assert (await call(instance, "GET", path))[0] == 404
    await until("the letter about it", lambda: len(box.messages) >= 2)
    assert (
        "NetPulse: your password was set anew, with a link that was sent to this address"
    ) in subjects(box)
    assert path.rpartition("/")[2] not in instance.text


async def test_killed_before_the_letter_was_sent(instance: Instance, box: Mailbox) -> None:
    await start(instance, box)
    await asyncio.to_thread(instance.register)
    box.data_reply = "hang"
    asked = await call(instance, "POST", "/v1/auth/password/forgot", {"email": EMAIL})
    assert asked[0] == 200
    await asyncio.to_thread(instance.kill)
    assert box.messages == []
    box.data_reply = None
    await start(instance, box)
    await until("the letter", lambda: box.messages)
    path = link_in(box.messages[0], instance)
    body = {"token": path.rpartition("/")[2], "password": NEW}
    assert (await call(instance, "POST", "/v1/auth/password/reset", body))[0] == 200
    assert await login(instance, NEW) == 200


async def test_what_the_command_line_did_is_told_by_the_running_server(
    instance: Instance, box: Mailbox
) -> None:
    await start(instance, box)
    await asyncio.to_thread(instance.register)

    def change() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SOURCE, "user", "password", EMAIL, "--password-stdin", "--data", str(instance.data)],
            input=f"{NEW}\n",
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            env=os.environ | environ(instance, box),
            check=False,
        )

    done = await asyncio.to_thread(change)
    assert (done.returncode, done.stderr) == (0, "")
    # It polls for what others wrote.
    await until("the letter", lambda: box.messages, 10)
    (mail,) = box.messages
    assert mail["Subject"] == "NetPulse: your password was changed"
    assert "By: the command line\r\n" in mail.get_content()


async def test_without_an_address_to_link_to_the_start_says_so(
    instance: Instance, box: Mailbox
) -> None:
    variables = environ(instance, box)
    del variables["NETPULSE_SERVER_PUBLIC_URL"]
    await asyncio.to_thread(instance.start, environ=variables)
    assert "warning: smtp.host is set and server.public_url is not" in instance.text
    status, answer = await call(instance, "POST", "/v1/auth/password/forgot", {"email": EMAIL})
    assert (status, answer["error"]["code"]) == (503, "MAIL_NOT_CONFIGURED")
