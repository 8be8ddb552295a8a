"""One-time codes are those of RFC 6238; recovery codes are read however they are typed."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess

import pyotp
import pytest

from netpulse.crypto import one_time_codes
from netpulse.rules import allowlist

RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]
"""RFC 6238, appendix B, for SHA-1. They have eight digits; the last six of them are the code of
six, because both are the same number modulo a power of ten."""


@pytest.mark.parametrize(("at", "code"), VECTORS)
def test_the_vectors_of_the_rfc(at: int, code: str) -> None:
    step = at // 30
    assert one_time_codes.matching_step(RFC_SECRET, code[-6:], at * 1000) == step
    # One step early and one late count, two do not.
    for away, wanted in ((-60, None), (-30, step), (30, step), (60, None)):
        if at + away < 30:
            continue  # there is nothing before 1970
        assert one_time_codes.matching_step(RFC_SECRET, code[-6:], (at + away) * 1000) == wanted


@pytest.mark.skipif(
    shutil.which("oathtool") is None, reason="no oathtool; as root: apt-get install oathtool"
)
def test_another_program_makes_the_same_codes() -> None:
    for at in (59, 60, 1_766_000_000, 4_102_444_800):
        secret = one_time_codes.new_secret()
        made = subprocess.run(
            ["oathtool", "--totp", "--base32", f"--now=@{at}", secret],
            check=True,
            capture_output=True,
            text=True,
            env={"TZ": "UTC", "PATH": "/usr/bin:/bin:/usr/local/bin"},
        )
        assert one_time_codes.matching_step(secret, made.stdout.strip(), at * 1000) == at // 30


@pytest.mark.parametrize("text", ["287 082", "287-082", " 287082\n", "2 8 7 0 8 2"])
def test_spaces_do_not_count(text: str) -> None:
    assert one_time_codes.matching_step(RFC_SECRET, text, 59_000) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "28708",
        "2870820",
        "94287082",
        "abcdef",
        "٢٨٧٠٨٢",
        "２８７０８２",
        "287082\x00",
        "-28708",
    ],
)
def test_what_is_no_code(text: str) -> None:
    assert one_time_codes.matching_step(RFC_SECRET, text, 59_000) is None


def test_a_secret_has_160_bits_and_an_address_for_apps() -> None:
    secrets = {one_time_codes.new_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert len(base64.b32decode(secret)) == 20
    uri = one_time_codes.uri(RFC_SECRET, "alice+ops@acme.example")
    assert uri == (
        f"otpauth://totp/NetPulse:alice%2Bops%40acme.example?secret={RFC_SECRET}&issuer=NetPulse"
    )
    read = pyotp.parse_uri(uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.name, read.issuer) == (
        RFC_SECRET,
        "alice+ops@acme.example",
        "NetPulse",
    )


def test_recovery_codes() -> None:
    codes = one_time_codes.new_recovery_codes()
    assert len(set(codes)) == 10
    letters = set("".join(codes)) - {"-"}
    assert not letters & set("ilou"), "letters that are taken for others"
    for code in codes:
        assert re.fullmatch(r"[0-9a-z]{5}(-[0-9a-z]{5}){4}", code)
        plain = code.replace("-", "")
        for typed in (code, code.upper(), plain, f" {code.replace('-', ' ')} "):
            assert one_time_codes.plain_recovery_code(typed) == plain
    read = one_time_codes.plain_recovery_code
    assert read("OIL00-00000-00000-00000-00000") == "0110000000000000000000000"
    for nothing in ("", "287082", "a" * 24, "a" * 26, "u" * 25, "ä" * 25, "a" * 10_000):
        assert read(nothing) is None


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::/0", "::/0"),
    ],
)
def test_entries_of_an_allowlist(text: str, entry: str) -> None:
    assert allowlist.read([text, text]) == ((entry,), [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no address or network such as 192.0.2.7 or 192.0.2.0/24"),
        ("home", "'home' is no address or network such as 192.0.2.7 or 192.0.2.0/24"),
        ("192.0.2", "'192.0.2' is no address or network such as 192.0.2.7 or 192.0.2.0/24"),
        ("192.0.2.256/32", "'192.0.2.256/32' is no network such as 192.0.2.0/24 or 2001:db8::/32"),
        ("192.0.2.0/33", "'192.0.2.0/33' is no network such as 192.0.2.0/24 or 2001:db8::/32"),
        ("192.0.2.7/24", "'192.0.2.7/24' has bits beyond its prefix; did you mean 192.0.2.0/24?"),
        (
            "2001:db8::1/64",
            "'2001:db8::1/64' has bits beyond its prefix; did you mean 2001:db8::/64?",
        ),
        ("fe80::1%eth0", "'fe80::1%eth0' names an interface; leave out what begins with %"),
    ],
)
def test_what_is_no_entry(text: str, message: str) -> None:
    found, (problem,) = allowlist.read(["192.0.2.1", text])
    assert found == ("192.0.2.1",)
    assert (problem.index, problem.message) == (1, message)
