"""What the configurations of channels share: the kinds of fields, and how secrets are kept.

A secret is write-only. It is answered as null with `<field>_set` beside it; sent back as null or
left out it keeps its value, and an empty text removes it. Where the host that it is sent to
changes, it must be entered again: whoever may change an address must not so be given a secret.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from msgspec import Meta, Struct

from netpulse.model.channel import Channel
from netpulse.model.ids import Id
from netpulse.rules import targets
from netpulse.web import reading
from netpulse.web.errors import Problem

Address = Annotated[str, Meta(max_length=2048)]
"""A URL."""
Secret = Annotated[str, Meta(max_length=500)]

CONFIG = "$.config"
MOST_RECIPIENTS = 50


class ChannelSpec(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every channel has, apart from `type` and its `config`."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    is_active: bool = True
    """True also switches on again what NetPulse has switched off (`disabled_at`)."""
    retry_for_seconds: Annotated[int, Meta(ge=0, le=7 * 86_400)] = 86_400
    """How long a message is tried again."""
    max_attempts: Annotated[int, Meta(ge=3, le=1000)] | None = None
    """Null: as many as fit into retry_for_seconds, and at least 3."""


class ChannelAnswer(Struct, frozen=True, kw_only=True, tag_field="type"):
    """A channel, apart from `type` and its `config`, which is null where it cannot be read."""

    id: Id
    org_id: Id
    name: str
    is_active: bool
    retry_for_seconds: int
    max_attempts: int | None
    created_at: str
    version: int
    disabled_at: str | None
    """When NetPulse switched it off, because the far side refuses for good."""
    disabled_reason: str | None
    last_test_at: str | None
    last_test_ok: bool | None
    """Whether the far side took the latest test."""
    problem: str | None
    """Why it cannot be used as it is stored."""


SpecT = TypeVar("SpecT", bound=Struct)
ConfigT = TypeVar("ConfigT", bound=Struct)


class Kind(ABC, Generic[SpecT, ConfigT]):
    """One type of channel: what may be set, what is kept, and what is shown of it."""

    word: ClassVar[str]
    """The `type`."""
    spec: ClassVar[Any]
    """The Struct of `config` as it is sent."""
    config: ClassVar[Any]
    """The Struct of `config` as it is stored."""
    channel: ClassVar[Any]
    """The ChannelSpec with this `config`."""
    answer: ClassVar[Any]
    """The ChannelAnswer with this `config`."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """The fields that are write-only: answered as null, with `<field>_set` beside them."""
    read_only: ClassVar[frozenset[str]] = frozenset()
    """Other fields of an answer's config that are ignored when they come back."""

    def without_read_only(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return a config as it was sent without the fields that only answers have."""
        ignored = self.read_only.union(f"{name}_set" for name in self.secrets)
        return {name: value for name, value in values.items() if name not in ignored}

    def trimmed(self, spec: SpecT) -> SpecT:
        """Return it without the spaces around what was pasted."""
        return spec

    @abstractmethod
    def problems(self, spec: SpecT) -> list[Problem]:
        """Return what is wrong with it by itself."""

    @abstractmethod
    def merged(self, new: SpecT, old: ConfigT | None) -> ConfigT:
        """Return what to store: `new`, with the secrets that it leaves out taken from `old`.

        Raises:
            ApiError: 400 for a secret that is missing, and for one that is to be kept although it
                would be sent to another host now.
        """

    @abstractmethod
    def shown(self, config: ConfigT, *, for_admin: bool) -> Any:
        """Return the config as it is answered. Viewers see no address that may be a secret."""

    @abstractmethod
    def destination(self, config: ConfigT, *, for_admin: bool) -> str:
        """Return in a few words where messages go."""

    def set_secrets(self, config: ConfigT) -> list[str]:
        """Return the paths of the secrets that are stored, such as `config.token`."""
        return [f"config.{name}" for name in self.secrets if getattr(config, name)]

    def old(self, channel: Channel | None) -> ConfigT | None:
        """Return the stored config that a new one replaces; None where it is of another type."""
        if channel is None or channel.damage is not None:
            return None
        return channel.config if isinstance(channel.config, self.config) else None


class Keeping:
    """The secrets of one configuration that replaces another, and what is wrong with them."""

    def __init__(self, moved: str | None = None) -> None:
        """Take why none of the stored ones may be kept ("the URL leads to another host")."""
        self._moved = moved
        self._problems: list[Problem] = []

    def secret(self, name: str, new: str | None, old: str | None) -> str | None:
        """Return an optional secret; `name` is its path below `config`."""
        return self._kept(name, new, old, "enter the secret again") or None

    def needed(self, name: str, new: str | None, old: str | None) -> str:
        """Return a secret without which the channel cannot be used; "" where it is missing."""
        kept = self._kept(name, new, old, "enter the secret again")
        if not kept:
            self.refuse(name, "this field is required")
        return kept or ""

    def header(self, name: str, old: str | None) -> str | None:
        """Return the stored value of a secret header that was sent without one."""
        if old is None:
            self.refuse(f"headers.{name}", "has no value")
        return self._kept(f"headers.{name}", None, old, "enter the value again")

    def refuse(self, name: str, message: str) -> None:
        """Note that a field is not usable; only the first thing is said of each."""
        path = f"{CONFIG}.{name}"
        if all(problem.path != path for problem in self._problems):
            self._problems.append(Problem(path, message))

    def done(self) -> None:
        """Raise the 400 of what was found."""
        reading.at_least_one(self._problems)

    def _kept(self, name: str, new: str | None, old: str | None, again: str) -> str | None:
        if new is not None or old is None:
            return new
        if self._moved is not None:
            self.refuse(name, f"{self._moved}: {again}")
        return old


def origin(url: str | None) -> str:
    """Return scheme, host and port of a URL; "" for none and where it cannot be read."""
    if not url:
        return ""
    try:
        return str(targets.url(url).origin())
    except (targets.TargetError, ValueError):
        return ""


def host(url: str | None) -> str:
    """Return the host of a URL, with a port that is not the usual one; "" where there is none."""
    return origin(url).partition("://")[2]


def moved(new: str | None, old: str | None) -> str | None:
    """Return why secrets cannot be kept when the URL `old` becomes `new`; None where they can."""
    return None if origin(new) == origin(old) else "the URL leads to another host"


def url_problems(name: str, url: str | None, *, base: bool = False) -> list[Problem]:
    """Return what is wrong with a URL. One that paths are put behind (`base`) has no query."""
    if url is None:
        return []
    path = f"{CONFIG}.{name}"
    try:
        parsed = targets.url(url)
    except targets.TargetError as trouble:
        return [Problem(path, str(trouble))]
    if parsed.user is not None or parsed.password is not None:
        return [Problem(path, "leave user name and password out of the URL")]
    if base and parsed.raw_query_string:
        return [Problem(path, "leave out the ? and what is behind it: this is a base address")]
    return []


def text_problems(
    name: str, text: str | None, form: re.Pattern[str], message: str
) -> list[Problem]:
    """Return what is wrong with a text that must have a form; null and "" have nothing wrong."""
    if not text or form.fullmatch(text):
        return []
    return [Problem(f"{CONFIG}.{name}", message)]


PLAIN = re.compile(r"[\x21-\x7e]+")
"""A token of which only this is known: that it goes into a header or a URL."""
NO_PLAIN = "has a space or a sign that no token has"


def stripped(text: str | None) -> str | None:
    """Return a text without spaces around it, or None."""
    return None if text is None else text.strip()


def optional(text: str | None) -> str | None:
    """Return a text without spaces around it; None for an empty one too."""
    return (text or "").strip() or None


def masked(text: str) -> str:
    """Return a mail address or a telephone number so that it is known only to who knows it."""
    local, at, domain = text.rpartition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    return f"{text[:3]}…{text[-2:]}"


def several(texts: Iterable[str]) -> str:
    """Return a list of recipients in few words: the first two, and how many more."""
    listed = list(texts)
    named = ", ".join(listed[:2])
    return f"{named} and {len(listed) - 2} more" if len(listed) > 2 else named
