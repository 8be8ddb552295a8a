"""What letters say, word for word."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from netpulse.model.letter import Letter, LetterKind
from netpulse.model.time import DAY
from netpulse.rules import letters
from tests.clock import START

URL = "https://status.example.com/reset/abc"
LETTER = Letter(
    id="019b0000-0000-7000-8000-000000000001",
    kind=LetterKind.INVITATION,
    recipient="alice@example.com",
    subject="S",
    text="",
    created_at=START,
    expires_at=START + DAY,
    next_attempt_at=START,
)


def test_invitation() -> None:
    said = letters.invitation("Acme", "bob@acme.example", "a viewer", URL, 7)
    assert said.subject == "bob@acme.example invites you to Acme on NetPulse"
    assert said.text == (
        "bob@acme.example invites you to watch over Acme with NetPulse, as a viewer.\n\n"
        "Accept within 7 days, here:\n\n"
        "https://status.example.com/reset/abc\n\n"
        "If you do not know what this is about, do nothing: without you nothing happens.\n"
    )


def test_password_reset() -> None:
    said = letters.password_reset("alice@acme.example", URL, 30, "192.0.2.7")
    assert said.subject == "Set a new password for NetPulse"
    assert said.text == (
        "Somebody, from the address 192.0.2.7, asked for a new password for the NetPulse account "
        "alice@acme.example.\n\n"
        "If it was you, set it within 30 minutes, here:\n\n"
        "https://status.example.com/reset/abc\n\n"
        "The link works once, and only the newest one works. Whoever has it can set your "
        "password: pass it on to nobody.\n\n"
        "If it was not you, do nothing: your password stays as it is.\n"
    )
    unknown = letters.password_reset("alice@acme.example", URL, 30, None)
    assert unknown.text.startswith("Somebody asked for a new password for the NetPulse account ")


def test_security() -> None:
    said = letters.security(
        "Your password was changed.", "2026-01-01T12:00:00Z", "192.0.2.7", "your own account"
    )
    assert said.subject == "NetPulse: your password was changed"
    assert said.text == (
        "Your password was changed.\n\n"
        "When: 2026-01-01T12:00:00Z\n"
        "By: your own account from 192.0.2.7\n\n"
        "If that was not you, and you do not know why it was done, tell the administrator of your "
        "NetPulse at once, change your password and end your other sessions.\n"
    )
    by_command = letters.security("X was made.", "2026-01-01T12:00:00Z", None, "the command line")
    assert "\nBy: the command line\n\n" in by_command.text


HOSTILE = (
    "Acme\r\nBcc: evil@example.com\r\n\r\nPay at\thttps://evil.example/x\x00\u202e www.evil.example"
)


def test_names_write_no_lines_and_no_links_of_their_own() -> None:
    for said in (
        letters.invitation(HOSTILE, HOSTILE, "a viewer", URL, 7),
        letters.security(f"You were added to {HOSTILE}.", "2026-01-01T12:00:00Z", None, HOSTILE),
    ):
        assert said.subject.isprintable()
        lines = said.text.splitlines()
        assert not any(line.startswith("Bcc") for line in lines)
        assert all(line.isprintable() for line in lines)
        assert len(lines) <= 7
        assert said.text.replace(URL, "").count("://") == 0
        assert "www." not in said.text
    invitation = letters.invitation(HOSTILE, HOSTILE, "a viewer", URL, 7)
    assert invitation.subject.startswith(
        "Acme Bcc: evil@example.com Pay at evil.example/x evil.example invites you"
    )


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Acme", "Acme"),
        ("acme.example", "acme.example"),
        ("R&D // Ops", "R&D Ops"),
        ("HTTP://HTTPS://evil.example", "evil.example"),
        ("Café “Zur Post” 🍰", "Café “Zur Post” 🍰"),
        ("x" * 300, "x" * 99 + "…"),
        ("a" * 5000 + "://", "a" * 99 + "…"),
    ],
)
def test_names(name: str, kept: str) -> None:
    said = letters.invitation(name, "bob@acme.example", "a viewer", URL, 7)
    assert said.subject == f"bob@acme.example invites you to {kept} on NetPulse"


def test_what_has_become_of_a_letter() -> None:
    assert letters.news(LETTER) == "on its way"
    tried = replace(LETTER, error="connection refused by 127.0.0.1:25", attempt_count=1)
    assert letters.news(tried) == (
        "not sent yet: connection refused by 127.0.0.1:25; it is tried again"
    )
    assert letters.news(replace(tried, next_attempt_at=None)) == (
        "could not be sent: connection refused by 127.0.0.1:25"
    )
    assert letters.news(replace(LETTER, next_attempt_at=None, sent_at=START)) is None
