"""One-time codes by time (RFC 6238), and the recovery codes for whoever has lost the app.

Codes are what every app makes: SHA-1, six digits, thirty seconds. A code counts a step early or
late (RFC 6238, section 5.2), for clocks that differ and fingers that are slow.
"""

from __future__ import annotations

import re
import secrets

import pyotp
from pyotp.exceptions import OTPVerificationError

from netpulse.model.time import SECOND, Millis

STEP_SECONDS = 30
ISSUER = "NetPulse"

RECOVERY_CODES = 10
_GROUPS, _GROUP = 5, 5
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no letter in it is taken for a digit or for another."""
_LOOKALIKES = str.maketrans("ilo", "110")
_RECOVERY = re.compile(rf"[{_ALPHABET}]{{{_GROUPS * _GROUP}}}")
_CODE = re.compile(r"[0-9]{6}")
_BETWEEN = re.compile(r"[\s-]+")


def new_secret() -> str:
    """Return a fresh secret of 160 bits (RFC 4226, section 4, R6) in base32."""
    return pyotp.random_base32()


def uri(secret: str, account: str) -> str:
    """Return the otpauth address by which an app takes the secret; `account` names its owner."""
    return _totp(secret).provisioning_uri(name=account, issuer_name=ISSUER)


def matching_step(secret: str, text: str, now: Millis) -> int | None:
    """Return the step (number of 30 seconds since 1970) whose code `text` is, or None.

    The step of `now`, the one before it and the one after it are looked at.
    """
    code = _BETWEEN.sub("", text)
    if not _CODE.fullmatch(code):
        return None
    try:
        return _totp(secret).verify_and_get_timecode(code, for_time=now // SECOND, valid_window=1)
    except OTPVerificationError:
        return None


def new_recovery_codes() -> list[str]:
    """Return fresh recovery codes, `7k2mq-…` in five groups of five: 125 bits each, so that a
    plain keyed digest of one cannot be searched (ASVS 6.5.2 asks for 112)."""
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def plain_recovery_code(text: str) -> str | None:
    """Return a recovery code as it is digested, however it was typed: in capitals, without the
    hyphens, with an O for the zero. None for what has not the shape of one."""
    plain = _BETWEEN.sub("", text).lower().translate(_LOOKALIKES)
    return plain if _RECOVERY.fullmatch(plain) else None


def _recovery_code() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def _totp(secret: str) -> pyotp.TOTP:
    return pyotp.TOTP(secret, interval=STEP_SECONDS)
