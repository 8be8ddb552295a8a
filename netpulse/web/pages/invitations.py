"""The page behind the link of an invitation.

Opening the link changes nothing, so that a mail server's link scanner does nothing; the button
does. It looks the same whether the address has an account already or not: the inviter, who saw the
link too, must not learn it here.
"""

from __future__ import annotations

from litestar import Response

from netpulse.crypto import passwords
from netpulse.crypto.tokens import new_token
from netpulse.model.time import rfc3339
from netpulse.model.user import User
from netpulse.storage import sessions
from netpulse.web import joining, sign_in, tokens
from netpulse.web.api.members import LABELS as ROLE_LABELS
from netpulse.web.auth import of_browser
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError
from netpulse.web.joining import Invited, Proof
from netpulse.web.languages import mark
from netpulse.web.pages import forms
from netpulse.web.pages.render import outside, redirect, with_secret_address
from netpulse.web.session import OrgSession

HERE = "/invitations/{token:str}"
CODE_NEEDED = mark(
    "One-time code: this account needs one too, from your app or one of your recovery codes."
)
LABELS = {"password": mark("Password"), "totp_code": mark("One-time code")}


@page("GET", HERE, access=PUBLIC)
async def ask(call: Call) -> Response[bytes]:
    """Say who invites to what, and offer to join."""
    invited = await _found(call)
    return _shown(call, invited, await of_browser(call.request), {})


@page("POST", HERE, access=PUBLIC)
async def join(call: Call) -> Response[bytes]:
    """Join, and be in."""
    form = await forms.read(call)
    invited = await _found(call)
    # Only what this browser has itself: the page goes on in a session, and a program's access
    # token must not become one.
    signed_in = await of_browser(call.request)
    proof = Proof(
        signed_in=signed_in,
        password=form.raw("password"),
        totp_code=form.optional("totp_code"),
    )
    try:
        user, _ = await joining.accept(call.house, call.stranger, _token(call), proof, call.now)
    except ApiError as error:
        if error.status == 404:
            raise
        found = forms.problems(error, LABELS)
        if error.code == "TOTP_REQUIRED":
            found = {"totp_code": CODE_NEEDED}
        call.headers.update(error.headers)
        call.headers.pop("WWW-Authenticate", None)
        return _shown(call, invited, signed_in, found, status=error.status)
    await _enter(call, user, invited, signed_in)
    return redirect("/dashboard", "joined")


async def _found(call: Call) -> Invited:
    return await joining.find(call.house, _token(call), call.origin.ip, call.now)


def _token(call: Call) -> str:
    return str(call.request.path_params["token"])


async def _enter(call: Call, user: User, invited: Invited, signed_in: OrgSession | None) -> None:
    """Let this browser act in the organization that was joined, under another token: what it may
    do has changed (ASVS 7.2.4). A session begins only after the password, and the code where one is
    asked for; who joined as the one they are signed in as goes on in the session that they have."""
    house, is_https = call.house, call.origin.is_https
    old = call.request.cookies.get(tokens.session_cookie_name(is_https))
    digest = house.sign_ins.digest
    if old and signed_in is not None and signed_in.user.id == user.id:
        token = new_token()
        await house.db.write(sessions.renew, digest(old), digest(token))
    else:
        token = await sign_in.open_page_session(house, call.stranger, user, replacing=old)
    await house.db.write(sessions.move, digest(token), invited.org.id)
    call.cookies.append(tokens.session_cookie(token, is_https))


def _shown(
    call: Call,
    invited: Invited,
    signed_in: OrgSession | None,
    errors: dict[str, str],
    *,
    status: int = 200,
) -> Response[bytes]:
    invitation = invited.invitation
    response = outside(
        call,
        "invitation.html",
        status=status,
        org_name=invited.org.name,
        inviter=invited.inviter,
        role_label=ROLE_LABELS[invitation.role],
        email=invitation.email,
        expires_at=rfc3339(invitation.expires_at),
        signed_in=None if signed_in is None else signed_in.user.email,
        is_theirs=signed_in is not None and signed_in.user.email == invitation.email,
        password_min_length=passwords.MIN_LENGTH,
        form=forms.view({"email": invitation.email}, errors),
    )
    return with_secret_address(call, response)


ROUTES = (ask, join)
