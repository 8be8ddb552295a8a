"""/v1/auth/invitations/accept: joining the organization that one was invited to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from netpulse.web import joining
from netpulse.web.api.auth import LongText, Registered, registered
from netpulse.web.auth import identify
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, endpoint
from netpulse.web.envelope import One
from netpulse.web.errors import ApiError
from netpulse.web.joining import Proof
from netpulse.web.session import OrgSession


class Acceptance(Struct, frozen=True, kw_only=True):
    """Somebody who was invited, and wants to join."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    """What stands behind /invitations/ in the link."""
    password: LongText | None = None
    """Of the account with the address that was invited; where there is none, it is made with this
    password. Not needed by who sends a sign-in of that account."""
    totp_code: Annotated[str, Meta(max_length=200)] | None = None
    """A one-time or recovery code, where the account asks for one."""


async def signed_in(call: Call) -> OrgSession | None:
    """Return who has signed the request in person; a sign-in that does not stand is none."""
    if "x-api-key" in call.request.headers:
        return None
    try:
        return await identify(call.request)
    except ApiError:
        return None


@endpoint(
    "POST",
    "/v1/auth/invitations/accept",
    access=PUBLIC,
    tag="auth",
    summary="Join the organization that an invitation leads to",
    body=Acceptance,
    answer=Registered,
    status=201,
    errors=(401, 404, 409, 429),
)
async def accept(call: Call) -> One[Registered]:
    """Join: with a new account, with the password of the one there is, or signed in."""
    wanted = await call.body(Acceptance)
    proof = Proof(
        signed_in=await signed_in(call), password=wanted.password, totp_code=wanted.totp_code
    )
    user, invited = await joining.accept(call.house, call.stranger, wanted.token, proof, call.now)
    return One.of(registered(user, invited.org, invited.invitation.role))


ROUTES = (accept,)
