"""The types of channels as the pages show them: their words, and from form to config and back."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from netpulse.model.channel import MACHINES, Channel
from netpulse.web.api.channel_configs import KINDS, kind_of
from netpulse.web.languages import mark
from netpulse.web.pages.forms import Form


class Face(Struct, frozen=True, kw_only=True):
    """How one type of channel is shown."""

    word: str
    """The `type`."""
    label: str
    icon: str
    """A symbol of static/icons.svg."""
    about: str
    """What it takes, in a line."""
    labels: dict[str, str]
    """Of its own fields, by their path."""

    @property
    def is_read_by_people(self) -> bool:
        """Tell whether people read it, and not a program."""
        return self.word not in MACHINES


_HOOK = {"config.webhook_url": mark("Webhook URL")}
_API = {"config.api_url": "API address"}

FACES: dict[str, Face] = {
    face.word: face
    for face in (
        Face(
            word="email",
            label=mark("Email"),
            icon="mail",
            about=mark("To one or more addresses."),
            labels={
                "config.to": mark("Recipients"),
                "config.server": mark("Mail server"),
                "config.smtp.host": mark("Host"),
                "config.smtp.security": mark("Encryption"),
                "config.smtp.port": mark("Port"),
                "config.smtp.from": mark("Sender"),
                "config.smtp.user": mark("User name"),
                "config.smtp.password": mark("Password"),
            },
        ),
        Face(
            word="webhook",
            label=mark("Webhook"),
            icon="webhook",
            about=mark("Signed JSON to an address of your own, for every change."),
            labels={
                "config.url": mark("Address"),
                "config.secret": mark("Signing secret"),
                "config.headers": mark("Headers"),
            },
        ),
        Face(
            word="slack",
            label="Slack",
            icon="chat",
            about=mark("A channel, by an incoming webhook."),
            labels=_HOOK,
        ),
        Face(
            word="teams",
            label="Microsoft Teams",
            icon="chat",
            about=mark("A channel, by a workflow with a webhook."),
            labels=_HOOK,
        ),
        Face(
            word="discord",
            label="Discord",
            icon="chat",
            about=mark("A channel, by its webhook."),
            labels=_HOOK,
        ),
        Face(
            word="telegram",
            label="Telegram",
            icon="send",
            about=mark("A chat or group, by a bot of yours."),
            labels={"config.bot_token": mark("Bot token"), "config.chat_id": mark("Chat"), **_API},
        ),
        Face(
            word="sms",
            label="SMS",
            icon="phone",
            about=mark("Text messages through Twilio."),
            labels={
                "config.to": mark("Numbers"),
                "config.from": mark("Sender"),
                "config.account_sid": mark("Account SID"),
                "config.auth_token": mark("Auth token"),
                **_API,
            },
        ),
        Face(
            word="ntfy",
            label="ntfy",
            icon="bell",
            about=mark("A topic, on ntfy.sh or a server of your own."),
            labels={
                "config.url": mark("Server"),
                "config.topic": mark("Topic"),
                "config.token": mark("Access token"),
            },
        ),
        Face(
            word="gotify",
            label="Gotify",
            icon="bell",
            about=mark("An application on your Gotify server."),
            labels={"config.url": mark("Server"), "config.token": mark("Application token")},
        ),
        Face(
            word="pushover",
            label="Pushover",
            icon="bell",
            about=mark("A person or a group with the Pushover app."),
            labels={
                "config.user": mark("User or group key"),
                "config.token": mark("Application token"),
                **_API,
            },
        ),
        Face(
            word="pagerduty",
            label="PagerDuty",
            icon="alert-triangle",
            about=mark("Opens and resolves incidents of a service."),
            labels={"config.routing_key": mark("Integration key"), **_API},
        ),
    )
}
"""By type, as they are offered: what most begin with comes first."""

FIRST = 2
"""So many of them suit as the first channel there is."""

SECRETS: dict[str, tuple[str, ...]] = {
    "webhook": ("secret",),
    "email": ("smtp.password",),
    "slack": ("webhook_url",),
    "discord": ("webhook_url",),
    "teams": ("webhook_url",),
    "telegram": ("bot_token",),
    "sms": ("auth_token",),
    "pagerduty": ("routing_key",),
    "ntfy": ("token",),
    "gotify": ("token",),
    "pushover": ("user", "token"),
}
"""Paths below `config` of what is never shown again, by type."""

_LISTS = frozenset({"to"})
_OWN = "own"


def config_of(word: str, form: Form) -> dict[str, Any]:
    """Return the `config` of a type out of a sent form; fields of no type are not read."""
    if word == "email":
        found: dict[str, Any] = {"to": _listed(form.text("config.to"))}
        if form.text("config.server") == _OWN:
            found["smtp"] = {
                "host": form.text("config.smtp.host"),
                "port": form.number("config.smtp.port"),
                "security": form.text("config.smtp.security") or "starttls",
                "from": form.optional("config.smtp.from"),
                "user": form.optional("config.smtp.user"),
                "password": form.secret("config.smtp.password"),
            }
        return found
    found = {}
    for field in msgspec.structs.fields(KINDS[word].spec):
        name = field.encode_name
        path = f"config.{name}"
        if name in SECRETS[word]:
            found[name] = form.secret(path)
        elif name == "headers":
            found[name] = form.headers(path)
        elif name in _LISTS:
            found[name] = _listed(form.text(path))
        else:
            found[name] = form.text(path) if field.required else form.optional(path)
    return found


def entered(channel: Channel) -> dict[str, Any]:
    """Return a stored config as the form shows it, without what is secret."""
    if channel.damage is not None:
        return {}
    answer: Any = msgspec.to_builtins(kind_of(channel).shown(channel.config, for_admin=True))
    shown: dict[str, Any] = {}
    for name, value in answer.items():
        if name == "headers":
            lines = [f"{key}: {each or ''}".rstrip() for key, each in value.items()]
            shown["config.headers"] = "\n".join(lines)
        elif name == "smtp":
            shown["config.server"] = "" if value is None else _OWN
            for key, each in (value or {}).items():
                shown[f"config.smtp.{key}"] = "" if each is None else str(each)
        elif name in _LISTS:
            shown[f"config.{name}"] = "\n".join(value)
        else:
            shown[f"config.{name}"] = "" if value is None else str(value)
    return shown


def hidden(word: str) -> list[str]:
    """Return the names of a type's fields that are never shown again."""
    return [f"config.{path}" for path in SECRETS[word]]


def _listed(text: str) -> list[str]:
    """Return what stands on lines of its own, or between commas."""
    return [part.strip() for part in re.split(r"[\n,;]", text) if part.strip()]
