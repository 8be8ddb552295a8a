"""email: recipients, and a mail server of the channel's own if it has one."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from netpulse.model.channel import EmailConfig, Smtp
from netpulse.rules import targets
from netpulse.web.api.channel_configs.parts import (
    CONFIG,
    MOST_RECIPIENTS,
    ChannelAnswer,
    ChannelSpec,
    Keeping,
    Kind,
    Secret,
    masked,
    optional,
    several,
)
from netpulse.web.errors import Problem

Mailbox = Annotated[str, Meta(max_length=320)]
Security = Literal["starttls", "tls", "none"]

PORTS: dict[str, int] = {"starttls": 587, "tls": 465, "none": 25}
"""The usual port of each kind of security (RFC 6409, RFC 8314, RFC 5321)."""

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
"""A dot-atom (RFC 5322, 3.2.3); quoted names exist on paper only."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


class SmtpSpec(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}
):
    """A mail server of the channel's own."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65_535)] | None = None
    """Null: 587, or 465 with tls and 25 with none."""
    user: Annotated[str, Meta(max_length=320)] | None = None
    password: Secret | None = None
    """Write-only: null keeps what is stored, "" removes it."""
    sender: Mailbox | None = None
    """The address that the mail comes from; null: `user`, where that is an address."""
    security: Security = "starttls"
    """none sends everything in the open, the password too."""


class EmailSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who gets the mail."""

    to: Annotated[list[Mailbox], Meta(min_length=1, max_length=MOST_RECIPIENTS)]
    smtp: SmtpSpec | None = None
    """Null: the server in the configuration file's `[smtp]`."""


class SmtpAnswer(Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A mail server without its password. Null for viewers."""

    host: str
    port: int
    user: str | None
    password: None = None
    password_set: bool
    sender: str | None
    security: str


class EmailAnswer(Struct, frozen=True, kw_only=True):
    """Who gets the mail."""

    to: list[str]
    """Whole for administrators; viewers see the first letter and the domain."""
    smtp: SmtpAnswer | None


class EmailChannel(ChannelSpec, frozen=True, kw_only=True, tag="email"):
    """Mail to one or more addresses."""

    config: EmailSpec


class EmailChannelAnswer(ChannelAnswer, frozen=True, kw_only=True, tag="email"):
    """Mail to one or more addresses."""

    config: EmailAnswer | None


class Email(Kind[EmailSpec, EmailConfig]):
    """Mail."""

    word: ClassVar[str] = "email"
    spec = EmailSpec
    config = EmailConfig
    channel = EmailChannel
    answer = EmailChannelAnswer

    def without_read_only(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return it without the `password_set` of an answer's mail server."""
        smtp = values.get("smtp")
        if not isinstance(smtp, dict):
            return values
        kept = {name: value for name, value in smtp.items() if name != "password_set"}
        return {**values, "smtp": kept}

    def trimmed(self, spec: EmailSpec) -> EmailSpec:
        """Return the addresses as they are sent to, each once."""
        to = list(dict.fromkeys(_usual(address) for address in spec.to))
        smtp = spec.smtp
        if smtp is not None:
            smtp = replace(
                smtp,
                host=smtp.host.strip().lower(),
                user=optional(smtp.user),
                sender=None if not optional(smtp.sender) else _usual(smtp.sender or ""),
            )
        return replace(spec, to=to, smtp=smtp)

    def problems(self, spec: EmailSpec) -> list[Problem]:
        """Return what is wrong with the addresses and the server."""
        found = [
            Problem(f"{CONFIG}.to[{at}]", flaw)
            for at, address in enumerate(spec.to)
            if (flaw := mailbox_problem(address)) is not None
        ]
        return found if spec.smtp is None else found + _smtp_problems(spec.smtp)

    def merged(self, new: EmailSpec, old: EmailConfig | None) -> EmailConfig:
        """Return what to store, with the password of the same server."""
        return EmailConfig(
            to=tuple(new.to),
            smtp=None if new.smtp is None else _merged(new.smtp, None if old is None else old.smtp),
        )

    def shown(self, config: EmailConfig, *, for_admin: bool) -> EmailAnswer:
        """Return it as it is answered."""
        smtp = config.smtp
        return EmailAnswer(
            to=[address if for_admin else masked(address) for address in config.to],
            smtp=SmtpAnswer(
                host=smtp.host,
                port=smtp.port,
                user=smtp.user,
                password_set=smtp.password is not None,
                sender=smtp.sender,
                security=smtp.security,
            )
            if smtp is not None and for_admin
            else None,
        )

    def destination(self, config: EmailConfig, *, for_admin: bool) -> str:
        """Return the first addresses."""
        return several(self.shown(config, for_admin=for_admin).to)

    def set_secrets(self, config: EmailConfig) -> list[str]:
        """Return the paths of what is stored."""
        is_set = config.smtp is not None and config.smtp.password is not None
        return ["config.smtp.password"] if is_set else []


def mailbox_problem(address: str) -> str | None:
    """Return what is wrong with a mail address (the addr-spec of RFC 5322, 3.4.1), or None."""
    if not address:
        return "is empty; an address looks like ops@example.com"
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        return f"{address} is no mail address: it looks like ops@example.com, without a name"
    if len(local) > 64 or len(address) > 254:  # RFC 5321, 4.5.3.1
        return f"{address} is longer than mail servers take"
    if not _LOCAL.fullmatch(local):
        return f"{address} is no mail address: {local} has a space, two dots or a strange sign"
    try:
        targets.host(domain)
    except targets.TargetError as trouble:
        return str(trouble)
    if domain.startswith("["):
        return f"{address}: give the domain by its name"
    return None


def _usual(address: str) -> str:
    """Return an address as it is sent to: its domain in ASCII and lower case, if it is one."""
    text = address.strip()
    local, at, domain = text.rpartition("@")
    try:
        return f"{local}{at}{targets.host(domain)}" if at else text
    except targets.TargetError:
        return text


def _smtp_problems(smtp: SmtpSpec) -> list[Problem]:
    found = []
    try:
        targets.host(smtp.host)
    except targets.TargetError as trouble:
        found.append(Problem(f"{CONFIG}.smtp.host", str(trouble)))
    for name, text in (("user", smtp.user), ("password", smtp.password)):
        if text and _UNPRINTABLE.search(text):
            found.append(Problem(f"{CONFIG}.smtp.{name}", "has a control character"))
    if smtp.sender is not None:
        flaw = mailbox_problem(smtp.sender)
        if flaw is not None:
            found.append(Problem(f"{CONFIG}.smtp.from", flaw))
    elif smtp.user is None or mailbox_problem(smtp.user) is not None:
        found.append(
            Problem(f"{CONFIG}.smtp.from", "is needed: the address that the mail comes from")
        )
    return found


def _merged(new: SmtpSpec, old: Smtp | None) -> Smtp:
    port = new.port or PORTS[new.security]
    keeping = Keeping(None if old is None else _moved(new, port, old))
    password = keeping.secret("smtp.password", new.password, None if old is None else old.password)
    if password is not None and new.user is None:
        keeping.refuse("smtp.user", "a password needs a user name")
    if password is None and new.user is not None:
        keeping.refuse("smtp.password", "a user name needs a password")
    keeping.done()
    return Smtp(
        host=new.host,
        port=port,
        user=new.user,
        password=password,
        sender=new.sender or new.user,
        security=new.security,
    )


def _moved(new: SmtpSpec, port: int, old: Smtp) -> str | None:
    if (new.host, port) != (old.host, old.port):
        return "this is another mail server"
    if new.security == "none" and old.security != "none":
        return "the password would be sent in the open now"
    return None
