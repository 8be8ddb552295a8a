"""Domains of mail addresses, as name servers know them."""

from __future__ import annotations

from email.headerregistry import Address

import pytest

from netpulse.egress.mail_form import ascii_domain, compose, has_name
from netpulse.web.accounts import normal_email


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("a@faß.example", "a@xn--fa-hia.example"),
        ("a@Bücher.example", "a@xn--bcher-kva.example"),
        ("a@日本.example", "a@xn--wgv71a.example"),
        ("a@EXAMPLE.com", "a@EXAMPLE.com"),
        ("a@my_host", "a@my_host"),
    ],
)
def test_a_domain_keeps_its_owner(address: str, wanted: str) -> None:
    assert ascii_domain(address) == wanted
    assert normal_email(address) == address.lower()
    sender = Address("NetPulse", "np", "x.example")
    mail = compose(
        message_id="m", sender=sender, recipients=(address,), subject="s", text="t", at=0
    )
    assert f"To: {wanted}\r\n".encode() in mail


@pytest.mark.parametrize("domain", ["ⅷ.example", "a\u200db.example", "ö..example", "ö" * 70])
def test_what_can_have_no_name_is_no_address(domain: str) -> None:
    assert not has_name(domain)
    assert normal_email(f"a@{domain}") is None
