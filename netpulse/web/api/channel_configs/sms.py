"""sms: telephone numbers, and an account at Twilio if the channel has one of its own."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from netpulse.model.channel import SmsConfig
from netpulse.web.api.channel_configs.parts import (
    CONFIG,
    MOST_RECIPIENTS,
    NO_PLAIN,
    PLAIN,
    Address,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    Secret,
    masked,
    moved,
    optional,
    several,
    stripped,
    text_problems,
    url_problems,
)
from netpulse.web.errors import Problem

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: + and at most 15 digits with the country's code."""
_BETWEEN = re.compile(r"[\s().\-/]")
"""What people write between the digits."""
_SENDER = re.compile(
    r"\+[1-9][0-9]{6,14}"  # a number
    r"|[0-9]{3,8}"  # a short code
    r"|MG[0-9a-fA-F]{32}"  # a messaging service
    r"|(?=.{1,11}\Z)(?=.*[A-Za-z])[A-Za-z0-9 &+_-]+"  # a name
)
_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")

Number = Annotated[str, Meta(max_length=40)]


class SmsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to write to. What is null of the rest is taken from the configuration's `[twilio]`."""

    to: Annotated[list[Number], Meta(min_length=1, max_length=MOST_RECIPIENTS)]
    """With + and the country's code."""
    sender: Number | None = field(default=None, name="from")
    """A number of the account, a short code, a name of at most 11 signs, or a messaging service
    (MG…)."""
    account_sid: Annotated[str, Meta(max_length=100)] | None = None
    auth_token: Secret | None = None
    """Write-only: null keeps what is stored, "" removes it."""
    api_url: Address | None = None
    """Null: Twilio's own, https://api.twilio.com. Another one needs an account of its own."""


class SmsAnswer(Struct, frozen=True, kw_only=True):
    """Whom to write to, without the token."""

    to: list[str]
    """Whole for administrators; viewers see the beginning and the end."""
    sender: str | None = field(name="from")
    account_sid: str | None
    auth_token: None = None
    auth_token_set: bool
    api_url: str | None


class SmsChannel(ChannelSpec, frozen=True, kw_only=True, tag="sms"):
    """SMS through Twilio."""

    config: SmsSpec


class SmsChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="sms"):
    """SMS through Twilio."""

    config: SmsAnswer | None


class Sms(Kind[SmsSpec, SmsConfig]):
    """SMS."""

    word: ClassVar[str] = "sms"
    spec = SmsSpec
    config = SmsConfig
    channel = SmsChannel
    answer = SmsChannelAnswer
    secrets = ("auth_token",)

    def trimmed(self, spec: SmsSpec) -> SmsSpec:
        """Return the numbers without what is written between the digits, each once."""
        return replace(
            spec,
            to=list(dict.fromkeys(_BETWEEN.sub("", number) for number in spec.to)),
            sender=_digits_alone(optional(spec.sender)),
            account_sid=optional(spec.account_sid),
            auth_token=stripped(spec.auth_token),
            api_url=optional(spec.api_url),
        )

    def problems(self, spec: SmsSpec) -> list[Problem]:
        """Return what is wrong with the numbers and the account."""
        found = [
            Problem(
                f"{CONFIG}.to[{at}]",
                f"{number or 'nothing'} is no telephone number: write + and the country's code, "
                "such as +4915112345678",
            )
            for at, number in enumerate(spec.to)
            if not _NUMBER.fullmatch(number)
        ]
        return [
            *found,
            *text_problems(
                "from",
                spec.sender,
                _SENDER,
                "is no sender: give a number of yours, a short code, a name of at most 11 letters "
                "and digits, or a messaging service (MG…)",
            ),
            *text_problems(
                "account_sid",
                spec.account_sid,
                _ACCOUNT,
                "is no account SID: that is AC and 32 hexadecimal digits",
            ),
            *text_problems("auth_token", spec.auth_token, PLAIN, NO_PLAIN),
            *url_problems("api_url", spec.api_url, base=True),
        ]

    def merged(self, new: SmsSpec, old: SmsConfig | None) -> SmsConfig:
        """Return what to store, with the token for the same host and account."""
        keeping = Keeping(None if old is None else moved(new.api_url, old.api_url))
        token = keeping.secret(
            "auth_token", new.auth_token, None if old is None else old.auth_token
        )
        if token is not None and new.account_sid is None:
            keeping.refuse("account_sid", "is needed with an auth token")
        if token is None and new.account_sid is not None:
            keeping.refuse("auth_token", "is needed with an account of its own")
        if new.api_url is not None and token is None:
            # Else the token of the whole installation would go wherever somebody points this.
            keeping.refuse("auth_token", "is needed with another address than Twilio's own")
        keeping.done()
        return SmsConfig(
            to=tuple(new.to),
            sender=new.sender,
            account_sid=new.account_sid,
            auth_token=token,
            api_url=new.api_url,
        )

    def shown(self, config: SmsConfig, *, for_admin: bool) -> SmsAnswer:
        """Return it as it is answered."""
        return SmsAnswer(
            to=[number if for_admin else masked(number) for number in config.to],
            sender=config.sender if for_admin else None,
            account_sid=config.account_sid if for_admin else None,
            auth_token_set=config.auth_token is not None,
            api_url=config.api_url if for_admin else None,
        )

    def destination(self, config: SmsConfig, *, for_admin: bool) -> str:
        """Return the first numbers."""
        return several(self.shown(config, for_admin=for_admin).to)


def _digits_alone(sender: str | None) -> str | None:
    if sender is None:
        return None
    bare = _BETWEEN.sub("", sender)
    return bare if _NUMBER.fullmatch(bare) else sender
