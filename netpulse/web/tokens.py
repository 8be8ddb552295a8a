"""Access tokens and the names of our cookies.

An access token is a JWT (RFC 7519) that says who somebody is and nothing of what they may do: the
role is read from the database at each request, and so is whether the sign-in still stands (`sid`,
the family of refresh tokens it came from).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Literal, cast

import jwt
from litestar.datastructures import Cookie
from msgspec import Struct

from netpulse.model.ids import Id
from netpulse.model.time import DAY, MINUTE, SECOND, Millis

ACCESS_SECONDS = 900
REFRESH_MS = 7 * DAY
SESSION_MS = 30 * DAY
"""How long a browser's sign-in lasts at most."""
SESSION_IDLE_MS = 7 * DAY
"""How long it lasts unused."""
TOUCH_MS = 5 * MINUTE
"""How exact its last use is known: one write per so much time."""

LEEWAY_SECONDS = 60
"""For a wall clock that was set between two requests."""

_ALGORITHM = "HS256"
_TYPE = "at+jwt"
_ISSUER = "netpulse"
_AUDIENCE = "netpulse-api"
_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]


class Claims(Struct, frozen=True):
    """What an access token says."""

    user_id: Id
    family_id: Id
    expires_at: Millis


class Signer:
    """Makes and reads access tokens with one key and one algorithm."""

    __slots__ = ("_source",)

    def __init__(self, key: bytes | Callable[[], bytes]) -> None:
        """Take a key of at least 32 bytes, or what gives the one in force: with another master key
        it changes, and access tokens from before end (refreshing them does not)."""
        self._source = key if callable(key) else lambda: key
        if len(self._key) < 32:
            raise ValueError("the key of access tokens needs at least 32 bytes")

    @property
    def _key(self) -> bytes:
        return self._source()

    def issue(self, user_id: Id, family_id: Id, now: Millis) -> str:
        """Return an access token for `user_id` that holds for ACCESS_SECONDS from `now`."""
        issued = now // SECOND
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": user_id,
            "sid": family_id,
            "jti": secrets.token_urlsafe(12),
            "iat": issued,
            "exp": issued + ACCESS_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"typ": _TYPE})

    def read(self, token: str, now: Millis, *, may_be_over: bool = False) -> Claims | None:
        """Return what `token` says, or None if it is not ours, altered, of another type or over.
        `may_be_over`: one that has expired still says which sign-in it is of, so that it can end.

        Only HS256 is taken, whatever the token's header says; `kid`, `jku`, `jwk` and the like are
        never looked at, and a header with `crit` is refused (RFC 7515, section 4.1.11).
        """
        try:
            whole = jwt.decode_complete(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                # The product's clock decides below, not the library's.
                options={
                    "require": _CLAIMS,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError):
            return None
        header, claims = whole["header"], whole["payload"]
        if header.get("typ") != _TYPE or "crit" in header:
            return None
        expires, issued = claims["exp"], claims["iat"]
        if not isinstance(expires, int) or not isinstance(issued, int):
            return None
        is_over = now // SECOND >= expires and not may_be_over
        if is_over or now // SECOND < issued - LEEWAY_SECONDS:
            return None
        return Claims(claims["sub"], claims["sid"], expires * SECOND)


# Spelled as RFC 6265bis, section 4.1.2.7, does; Litestar writes what it is given.
_LAX = cast(Literal["lax"], "Lax")
_STRICT = cast(Literal["strict"], "Strict")


def session_cookie_name(is_https: bool) -> str:
    """Return the name of the page session's cookie (RFC 6265bis, section 4.1.3.2)."""
    return "__Host-np_session" if is_https else "np_session"


def refresh_cookie_name(is_https: bool) -> str:
    """Return the name of the refresh token's cookie; its path keeps it from `__Host-`."""
    return "__Secure-np_refresh" if is_https else "np_refresh"


def session_cookie(token: str | None, is_https: bool) -> Cookie:
    """Return the cookie that carries a page session, or with None the one that removes it."""
    return Cookie(
        key=session_cookie_name(is_https),
        value=token or "",
        path="/",
        max_age=0 if token is None else SESSION_MS // SECOND,
        httponly=True,
        secure=is_https,
        samesite=_LAX,
    )


def refresh_cookie(token: str | None, is_https: bool) -> Cookie:
    """Return the cookie that carries a refresh token, or with None the one that removes it."""
    return Cookie(
        key=refresh_cookie_name(is_https),
        value=token or "",
        path="/v1/auth",
        max_age=0 if token is None else REFRESH_MS // SECOND,
        httponly=True,
        secure=is_https,
        samesite=_STRICT,
    )
