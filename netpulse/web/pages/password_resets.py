"""The pages of a forgotten password: asking for a link, and what the link leads to.

Opening the link changes nothing, so that a mail server's link scanner does nothing; the form does.
"""

from __future__ import annotations

from litestar import Response

from netpulse.crypto import passwords
from netpulse.model.time import MINUTE
from netpulse.model.user import User
from netpulse.rules.password_resets import LASTS
from netpulse.web import password_resets as links
from netpulse.web.call import Call
from netpulse.web.endpoint import PUBLIC, page
from netpulse.web.errors import ApiError
from netpulse.web.languages import mark, say
from netpulse.web.pages import forms
from netpulse.web.pages.render import outside, redirect, with_secret_address
from netpulse.web.phrases import phrase

_LABELS = {"password": mark("New password")}


@page("GET", "/forgot", access=PUBLIC)
async def forgot_form(call: Call) -> Response[bytes]:
    """Ask for the address, or say who can help where no mail is sent."""
    return _forgot(call, forms.view({}))


@page("POST", "/forgot", access=PUBLIC)
async def forgot(call: Call) -> Response[bytes]:
    """Send a link, if anybody has this address, and say the same whoever has it."""
    form = await forms.read(call)
    try:
        await links.ask(call.house, call.stranger, form.text("email"))
    except ApiError as error:
        if error.status != 429:
            return _forgot(call, forms.view({}), status=error.status)
        call.headers.update(error.headers)
        shown = forms.view(form.again([], []), forms.problems(error, {}))
        return _forgot(call, shown, status=error.status)
    return _forgot(call, forms.view({}), sent=True)


def _forgot(
    call: Call, form: dict[str, object], *, status: int = 200, sent: bool = False
) -> Response[bytes]:
    return outside(
        call,
        "forgot.html",
        status=status,
        form=form,
        is_possible=links.is_possible(call.house),
        sent=sent,
        minutes=LASTS // MINUTE,
    )


@page("GET", "/reset/{token:str}", access=PUBLIC)
async def reset_form(call: Call) -> Response[bytes]:
    """Ask for the new password, or say that the link is none (any more)."""
    token = call.request.path_params["token"]
    try:
        user = await links.holder(call.house, call.stranger, token)
    except ApiError as error:
        return _refused(call, error)
    return _reset(call, user, forms.view({"email": user.email}))


@page("POST", "/reset/{token:str}", access=PUBLIC)
async def reset(call: Call) -> Response[bytes]:
    """Set it, and lead to the sign-in."""
    house, actor = call.house, call.stranger
    token = call.request.path_params["token"]
    form = await forms.read(call)
    user: User | None = None
    try:
        user = await links.holder(house, actor, token)
        await links.reset(house, actor, token, form.raw("password"), form.optional("totp_code"))
    except ApiError as error:
        if user is None or error.code == links.INVALID:
            return _refused(call, error)
        call.headers.update(error.headers)
        call.headers.pop("WWW-Authenticate", None)
        return _reset(
            call, user, forms.view({"email": user.email}, _problems(error)), status=error.status
        )
    return redirect("/login", "password-set")


def _problems(error: ApiError) -> dict[str, str]:
    """Return what is wrong by field."""
    if error.code == "TOTP_REQUIRED":
        return {"totp_code": say("One-time code: enter the one that your app shows.")}
    if error.code == "LOGIN_FAILED":
        return {"totp_code": say("One-time code: %(message)s.", message=phrase(error.message))}
    return forms.problems(error, _LABELS)


def _reset(call: Call, user: User, form: dict[str, object], status: int = 200) -> Response[bytes]:
    answer = outside(
        call,
        "reset.html",
        status=status,
        refusal=None,
        form=form,
        asks_code=user.totp_enabled,
        password_min_length=passwords.MIN_LENGTH,
    )
    return with_secret_address(call, answer)


def _refused(call: Call, error: ApiError) -> Response[bytes]:
    """Say why the link is of no use.

    Raises:
        ApiError: `error` itself, where it is about something else.
    """
    if error.code != links.INVALID:
        raise error
    return with_secret_address(
        call, outside(call, "reset.html", status=404, refusal=phrase(error.message) + ".")
    )


ROUTES = (forgot_form, forgot, reset_form, reset)
