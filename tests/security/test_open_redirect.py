"""After a sign-in one stays here, whatever `next` says."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest

from tests.asgi import HOST, ask
from tests.cast import PASSWORD
from tests.conftest import Stage
from tests.tenancy import Page

ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https://evil.example",
    "http:evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    " //evil.example",
    "/%09/evil.example",
    "/.//evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example/%2e%2e",
    "/\x00/evil.example",
    "/monitors\r\nSet-Cookie: x=y",
    "/\u2028/evil.example",
    "//[::1]/",
    "//",
    "/////",
    "?next=//evil.example",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "",
]


def is_here(location: str) -> bool:
    """Tell whether a browser that follows a Location stays on this host, as WHATWG URLs are read:
    tabs and line ends fall out, and a backslash is a slash."""
    read = location.strip(" ").replace("\t", "").replace("\n", "").replace("\r", "")
    target = urlsplit(urljoin(f"http://{HOST}/login", read.replace("\\", "/")))
    return (target.scheme, target.netloc) == ("http", HOST)


@pytest.mark.parametrize("wanted", ELSEWHERE, ids=repr)
async def test_signing_in_leads_nowhere_else(house: Stage, wanted: str) -> None:
    form = {"email": house.cast.alice.email, "password": PASSWORD, "next": wanted}
    answer = await ask(house.app, "POST", "/login", form=form)
    assert answer.status == 303
    location = answer.header("location")
    assert location is not None
    assert is_here(location), location
    assert location.isprintable()
    # And for whoever is in already, and in the form that is shown.
    cookie = {"Cookie": (answer.header("set-cookie") or "").partition(";")[0]}
    known = await ask(house.app, "GET", "/login", query={"next": wanted}, headers=cookie)
    assert known.status == 303
    assert is_here(known.header("location") or "")
    shown = await ask(house.app, "GET", "/login", query={"next": wanted})
    (form_shown,) = Page(shown.text).forms
    assert all(is_here(value) for name, value in form_shown.fields if name == "next")


async def test_it_leads_where_one_wanted_to_go(house: Stage) -> None:
    answer = await ask(house.app, "GET", "/monitors?status=down&q=a%20b")
    assert answer.header("location") == "/login?next=/monitors%3Fstatus%3Ddown%26q%3Da%2520b"
    form = {
        "email": house.cast.alice.email,
        "password": PASSWORD,
        "next": "/monitors?status=down&q=a%20b",
    }
    answer = await ask(house.app, "POST", "/login", form=form)
    assert answer.header("location") == "/monitors?status=down&q=a%20b"


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "/%2f/evil.example"])
async def test_an_address_that_looks_like_another_host(house: Stage, path: str) -> None:
    answer = await ask(house.app, "GET", path)
    assert answer.status in {303, 404}
    assert is_here(answer.header("location") or "/")
