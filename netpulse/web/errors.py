"""Errors as the API tells them: one Struct, one envelope, whoever noticed the mistake.

A message is product text: what happened and what to do. Nothing of the inside (a stack trace, an
SQL error, a path) is ever in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from netpulse.model.time import SECOND, Millis
from netpulse.storage.errors import QuotaReached


class Problem(Struct, frozen=True, gc=False):
    """One thing that is wrong with what was sent, and where: `$.timeout_seconds`, `?limit`."""

    path: str
    message: str


class ApiError(Exception):
    """An answer that is not a success. Raised anywhere above storage, answered in one place."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class Elsewhere(Exception):
    """What a page was asked for is at another address of ours: `to`, a path."""

    def __init__(self, to: str) -> None:
        super().__init__(to)
        self.to = to


class ErrorBody(Struct, frozen=True):
    """What an error says."""

    code: str
    message: str
    details: dict[str, Any]


class Failed(Struct, frozen=True):
    """The envelope of every error under /v1."""

    success: Literal[False]
    error: ErrorBody


def invalid(problems: Iterable[Any]) -> ApiError:
    """Return the 400 that names every problem (anything with `path` and `message`)."""
    listed = [{"path": problem.path, "message": problem.message} for problem in problems]
    if len(listed) == 1:
        message = f"{listed[0]['path']}: {listed[0]['message']}"
    else:
        message = f"{len(listed)} fields are not usable; see details.errors"
    return ApiError(400, "VALIDATION_FAILED", message, details={"errors": listed})


def not_found(noun: str) -> ApiError:
    """Return the 404 of `noun` (such as "monitor").

    It does not repeat the id: the id of another organization must answer byte for byte as one
    that nobody has.
    """
    code = noun.upper().replace(" ", "_").replace("-", "_") + "_NOT_FOUND"
    return ApiError(404, code, f"There is no {noun} with this id")


def unauthorized(message: str, code: str = "UNAUTHORIZED") -> ApiError:
    """Return the 401 that asks for a bearer token (RFC 6750, section 3)."""
    return ApiError(401, code, message, headers={"WWW-Authenticate": 'Bearer realm="netpulse"'})


def forbidden(message: str, code: str = "FORBIDDEN") -> ApiError:
    """Return a 403."""
    return ApiError(403, code, message)


def conflict(code: str, message: str) -> ApiError:
    """Return a 409."""
    return ApiError(409, code, message)


def quota_reached(reached: QuotaReached) -> ApiError:
    """Return the 409 that names the quota, its size, and whom to ask."""
    details = {"quota": reached.quota, "limit": reached.limit, "used": reached.used}
    return ApiError(409, "QUOTA_REACHED", str(reached), details=details)


def version_conflict() -> ApiError:
    """Return the 412: somebody else changed it meanwhile."""
    return ApiError(
        412,
        "VERSION_CONFLICT",
        "This was changed since you read it; read it again and repeat your change",
    )


def keyless() -> ApiError:
    """Return the 503 of what cannot be done without the encryption key."""
    return ApiError(
        503,
        "ENCRYPTION_KEY_MISSING",
        "NetPulse runs without its encryption key, so that no secret can be read or stored: it "
        "must be started with the right one first",
    )


def too_many(seconds: int, message: str) -> ApiError:
    """Return the 429 that says when to come back, in whole seconds (RFC 9110, section 10.2.3)."""
    return ApiError(
        429, "TOO_MANY_REQUESTS", message, headers={"Retry-After": str(max(1, seconds))}
    )


def too_large(limit: int) -> ApiError:
    """Return the 413 of a body over `limit` bytes, which are a whole number of KiB."""
    size = f"{limit >> 20} MiB" if limit % (1 << 20) == 0 else f"{limit >> 10} KiB"
    message = f"The request's body is larger than {size}; send less"
    return ApiError(413, "PAYLOAD_TOO_LARGE", message)


def too_many_until(until: Millis, now: Millis, message: str) -> ApiError:
    """Return the 429 of what is refused until the moment `until`; a part of a second counts as
    one, so that whoever waits as told is not too early."""
    return too_many(-((now - until) // SECOND), message)


NO_ROUTE = "There is nothing at this address; /v1/openapi.json lists what there is"
"""What an address gets that no route has."""

_OF_STATUS: dict[int, tuple[str, str]] = {
    400: ("BAD_REQUEST", "The request cannot be understood"),
    401: ("UNAUTHORIZED", "Sign in first: send Authorization: Bearer <access token>"),
    403: ("FORBIDDEN", "You may not do this"),
    404: ("NOT_FOUND", NO_ROUTE),
    405: ("METHOD_NOT_ALLOWED", "This address does not take that method; see the Allow header"),
    408: ("REQUEST_TIMEOUT", "The request's body did not arrive in time; send it again"),
    413: ("PAYLOAD_TOO_LARGE", "The request's body is too large; send less"),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Send JSON, with Content-Type: application/json"),
    429: ("TOO_MANY_REQUESTS", "Too many requests; wait as long as Retry-After says"),
    500: (
        "INTERNAL",
        "NetPulse made a mistake and wrote it to its log; the X-Request-Id header finds it there",
    ),
    503: ("UNAVAILABLE", "NetPulse cannot do this right now; try again in a moment"),
}


def of_status(status: int, headers: Mapping[str, str] | None = None) -> ApiError:
    """Return the error for a bare HTTP status, in our own words."""
    code, message = _OF_STATUS.get(status, ("ERROR", "The request was refused"))
    return ApiError(status, code, message, headers=headers)
