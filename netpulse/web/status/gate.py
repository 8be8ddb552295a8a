"""The gate of a status page that has a password: who has given it reads on for half a day.

The cookie is the page's own and says nothing but that: its tag covers the page, the moment it ends
and the stored hash, so that another password ends every visit at once. It is no sign-in, and no
route of NetPulse itself looks at it.
"""

from __future__ import annotations

import hmac
from typing import Literal

from litestar.datastructures import Cookie

from netpulse.crypto import passwords
from netpulse.model.status_page import StatusPage
from netpulse.model.time import HOUR, SECOND
from netpulse.rules import status_pages as rules
from netpulse.web import limits
from netpulse.web.call import Call
from netpulse.web.errors import ApiError, too_many
from netpulse.web.proxies import bucket
from netpulse.web.status.shelf import Shown

VISIT = 12 * HOUR
MOST_PASSWORD = 1_024
"""Characters: no password is longer."""
_NAME_LENGTH = 12


async def found(call: Call, slug: str) -> Shown:
    """Return the page with this address. Raises ApiError (404) where there is none."""
    shown = None
    if rules.slug_problem(slug) is None:
        shown = await call.house.shelf.look(slug)
    if shown is None:
        # What is there costs nothing, and is not counted; looking for what is not does.
        limits.stranger_counts(call.house, call.request.scope)
        raise ApiError(404, "STATUS_PAGE_NOT_FOUND", "There is no status page at this address")
    return shown


async def opened(call: Call, slug: str) -> Shown:
    """Return the page with this address for whoever may read it.

    Raises:
        ApiError: 404 where there is none, 401 `PASSWORD_REQUIRED` without its password.
    """
    shown = await found(call, slug)
    if not is_open(call, shown.page):
        raise ApiError(
            401,
            "PASSWORD_REQUIRED",
            "This status page has a password: send it as a form's field `password` to"
            f" /status/{shown.page.slug}, and come back with the cookie that is answered",
            headers={"WWW-Authenticate": "Cookie", "Cache-Control": "no-store"},
        )
    return shown


def is_open(call: Call, page: StatusPage) -> bool:
    """Tell whether the reader of this request may read the page."""
    if page.password_hash is None:
        return True
    given = call.request.cookies.get(_cookie_name(call, page), "")
    until, _, tag = given.partition(".")
    if not until.isdecimal() or len(until) > 15 or int(until) * SECOND <= call.now:
        return False
    wanted = _tag(call, page, int(until))
    return hmac.compare_digest(tag.encode("utf-8", "replace"), wanted.encode())


async def admit(call: Call, page: StatusPage, password: str) -> bool:
    """Open the page to the reader of this request if that is its password.

    Raises:
        ApiError: 429 after too many attempts from one address.
    """
    if page.password_hash is None:
        return True
    at = call.house.clock.monotonic()
    wait = call.house.rates.page_passwords.wait(bucket(call.origin.ip), at)
    if wait:
        raise too_many(wait, "Too many attempts; wait as long as Retry-After says")
    if not await passwords.verify_password(page.password_hash, password[:MOST_PASSWORD]):
        return False
    until = (call.now + VISIT) // SECOND
    same_site: Literal["lax"] = "lax"
    call.cookies.append(
        Cookie(
            key=_cookie_name(call, page),
            value=f"{until}.{_tag(call, page, until)}",
            path="/",
            max_age=VISIT // SECOND,
            httponly=True,
            secure=call.origin.is_https,
            samesite=same_site,
        )
    )
    return True


def _cookie_name(call: Call, page: StatusPage) -> str:
    name = f"np_page_{call.house.sign_ins.digest(f'page {page.id}')[:_NAME_LENGTH]}"
    return f"__Host-{name}" if call.origin.is_https else name


def _tag(call: Call, page: StatusPage, until: int) -> str:
    return call.house.sign_ins.digest(f"page {page.id} {until} {page.password_hash}")
