"""Tickets: what a hidden field carries from one page to the next, about what was just shown.

After the password the login page asks for the code; in between nobody is signed in, and nothing is
stored. The ticket says whose password was right, for some minutes. It ends with that password, and
when the second factor is turned on or off.
"""

from __future__ import annotations

import hmac

from netpulse.model.ids import is_id
from netpulse.model.time import MINUTE, SECOND, Millis
from netpulse.model.user import User
from netpulse.storage import users
from netpulse.web.house import House

SIGN_IN = "sign-in"
"""The password was right; the code is missing."""
SECOND_FACTOR = "second-factor"
"""The owner has shown the password and may turn their second factor on."""

LASTS = {SIGN_IN: 5 * MINUTE, SECOND_FACTOR: 30 * MINUTE}


def ticket(house: House, purpose: str, user: User, now: Millis) -> str:
    """Return a ticket for `user`; `purpose` is one of LASTS."""
    until = (now + LASTS[purpose]) // SECOND
    return f"{user.id}.{until}.{_tag(house, purpose, user, until)}"


async def redeem(house: House, purpose: str, text: str, now: Millis) -> User | None:
    """Return whose ticket this is, as the database has them now; None if it is not, or no longer,
    good for this purpose."""
    user_id, _, rest = text.partition(".")
    until, _, tag = rest.partition(".")
    if not is_id(user_id) or not until.isascii() or not until.isdecimal() or len(until) > 15:
        return None
    if int(until) * SECOND <= now:
        return None
    user = await house.db.read(users.get, user_id)
    if user is None:
        return None
    wanted = _tag(house, purpose, user, int(until))
    return user if hmac.compare_digest(wanted.encode(), tag.encode("utf-8", "replace")) else None


def _tag(house: House, purpose: str, user: User, until: int) -> str:
    state = "on" if user.totp_enabled else "off"
    said = f"ticket|{purpose}|{user.id}|{until}|{state}|{user.password_hash}"
    return house.sign_ins.digest(said)
