"""What letters say: mail from NetPulse itself, in plain text, with nothing in it to click blindly.

Names of people and organizations are made one short line without control characters, so that
nobody can write lines of their own into a letter, and lose what makes a web address of them, so
that nobody can have a link of theirs sent to strangers in our name.
"""

from __future__ import annotations

import re

from msgspec import Struct

from netpulse.model.letter import Letter, LetterState
from netpulse.rules.messages import one_line

MOST_NAME = 100
"""How much of a name is repeated."""

_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]{0,20}:)?//+|\bwww\.", re.IGNORECASE)


class Draft(Struct, frozen=True):
    """The words of a letter."""

    subject: str
    text: str


def invitation(org: str, inviter: str, role: str, url: str, days: int) -> Draft:
    """Return the invitation into an organization; `role` is the word for people."""
    return Draft(
        f"{plain_name(inviter)} invites you to {plain_name(org)} on NetPulse",
        f"{plain_name(inviter)} invites you to watch over {plain_name(org)} with NetPulse, as "
        f"{role}.\n\n"
        f"Accept within {days} days, here:\n\n{url}\n\n"
        "If you do not know what this is about, do nothing: without you nothing happens.\n",
    )


def password_reset(email: str, url: str, minutes: int, ip: str | None) -> Draft:
    """Return the letter with which a forgotten password is replaced; `ip` is who asked for it."""
    where = f", from the address {ip}," if ip else ""
    return Draft(
        "Set a new password for NetPulse",
        f"Somebody{where} asked for a new password for the NetPulse account {email}.\n\n"
        f"If it was you, set it within {minutes} minutes, here:\n\n{url}\n\n"
        "The link works once, and only the newest one works. Whoever has it can set your password: "
        "pass it on to nobody.\n\n"
        "If it was not you, do nothing: your password stays as it is.\n",
    )


def security(what: str, when: str, ip: str | None, by: str) -> Draft:
    """Return the notice that something about an account has changed.

    `what` is a whole sentence, in which names may stand as they are; `when` an RFC 3339 time, `by`
    who did it ("your own account", an address, "the command line").
    """
    said = plain_name(what, 3 * MOST_NAME)
    short = said.rstrip(".")
    where = f" from {ip}" if ip else ""
    return Draft(
        f"NetPulse: {short[:1].lower()}{short[1:]}",
        f"{said}\n\nWhen: {when}\nBy: {plain_name(by)}{where}\n\n"
        "If that was not you, and you do not know why it was done, tell the administrator of your "
        "NetPulse at once, change your password and end your other sessions.\n",
    )


def news(letter: Letter) -> str | None:
    """Return what there is to say of a letter that is not sent (yet), or None of one that is."""
    match letter.state:
        case LetterState.SENT:
            return None
        case LetterState.WAITING:
            why = letter.error
            return "on its way" if why is None else f"not sent yet: {why}; it is tried again"
        case LetterState.FAILED:
            return f"could not be sent: {letter.error}"


def plain_name(text: str, most: int = MOST_NAME) -> str:
    """Return a name that others chose as one short line with no web address in it."""
    return one_line(_ADDRESS.sub(" ", one_line(text, 10 * MOST_NAME)), most)
