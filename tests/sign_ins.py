"""Signing in with one and with two factors, as the tests about accounts do it."""

from __future__ import annotations

from typing import Any

import httpx
import pyotp
from msgspec.structs import replace

from netpulse.channels.base import Mail
from netpulse.model.letter import Letter
from netpulse.model.user import User
from netpulse.storage import letters, second_factors, users
from netpulse.storage.db import Conn
from netpulse.web import codes
from tests.cast import PASSWORD, Person
from tests.clock import FakeClock
from tests.conftest import Stage

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
RECOVERY = [f"aaaaa-bbbbb-ccccc-ddddd-0000{number}" for number in range(10)]


def clock_of(stage: Stage) -> FakeClock:
    """Return the clock, which the test may move."""
    clock = stage.house.clock
    assert isinstance(clock, FakeClock)
    return clock


def code(stage: Stage, steps: int = 0, secret: str = SECRET) -> str:
    """Return the code that an app shows now, or so many steps of 30 seconds later."""
    return pyotp.TOTP(secret).at(stage.house.clock.now() // 1000, counter_offset=steps)


def wrong(stage: Stage) -> str:
    """Return a code that is none of those that count now."""
    taken = {code(stage, steps) for steps in range(-3, 4)}
    return next(text for text in (f"{n:06d}" for n in range(10)) if text not in taken)


async def arm(stage: Stage, person: Person) -> None:
    """Turn the second factor of somebody on, long ago, with SECRET and the codes of RECOVERY."""

    def write(conn: Conn) -> None:
        now = stage.house.clock.now()
        assert second_factors.begin(conn, person.id, SECRET, now)
        assert second_factors.turn_on(conn, person.id, 1, now)
        digests = [codes.digest_of(stage.house, each) for each in RECOVERY]
        second_factors.put_codes(conn, person.id, digests)

    await stage.house.db.write(write)


async def login(
    client: httpx.AsyncClient, email: str, password: str = PASSWORD, **more: Any
) -> httpx.Response:
    """Sign in through the API."""
    return await client.post("/v1/auth/login", json={"email": email, "password": password, **more})


async def signed_in(stage: Stage, email: str, ip: str = "192.0.2.10", **more: Any) -> Any:
    """Return a client that has signed in through the API just now."""
    client = stage.client(ip=ip)
    answer = await login(client, email, **more)
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['data']['access_token']}"
    return client


async def browser(stage: Stage, email: str, ip: str = "192.0.2.10", **options: Any) -> Any:
    """Return a client with a page session, signed in through the login page."""
    client = stage.client(ip=ip, **options)
    answer = await client.post("/login", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    assert "np_session" in client.cookies
    return client


async def user_of(stage: Stage, person: Person) -> User:
    """Return somebody as the database has them."""
    user = await stage.house.db.read(users.get, person.id)
    assert user is not None
    return user


def with_mail(stage: Stage) -> None:
    """Let the installation have a mail server, so that letters are written."""
    stage.house.carrier = replace(stage.house.carrier, mail=Mail(host="mail.example"))


async def written(stage: Stage) -> list[Letter]:
    """Return the letters that wait; those of one moment are in no order."""
    return await stage.house.db.read(letters.due, stage.house.clock.now(), 1_000)


async def told(stage: Stage) -> set[str]:
    """Return the first lines of the letters that wait."""
    return {letter.text.partition("\n")[0] for letter in await written(stage)}


def error(answer: httpx.Response) -> tuple[int, str]:
    """Return an error's status and code."""
    return answer.status_code, answer.json()["error"]["code"]


def problems(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return (path, message) of a 400."""
    assert answer.status_code == 400, answer.text
    return [(each["path"], each["message"]) for each in answer.json()["error"]["details"]["errors"]]
