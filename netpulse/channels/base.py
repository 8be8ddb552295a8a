"""What all channels share: the message, the far side's answer, and how a delivery fails."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from netpulse.egress.connect import Egress
from netpulse.model.channel import Smtp
from netpulse.model.ids import Id
from netpulse.model.time import Millis
from netpulse.rules.messages import Words

Mail = Smtp
"""The mail server of the configuration's `[smtp]`, for channels without one of their own."""

SEND_SECONDS = 10.0
"""The whole of one attempt: name, connection, TLS, request and answer."""
ANSWER_CHARACTERS = 4096
"""How much of a far side's answer is kept."""
RETRY_AFTER_SECONDS = 3600.0
"""The longest a far side may make us wait by Retry-After."""
MOST_TOLD = 10_000
"""Messages that went to some of their recipients and are remembered for the others."""


class Message(Struct, frozen=True, kw_only=True):
    """One notice as it is sent; the same at every attempt but for `attempted_at`."""

    id: Id
    """Stable across attempts, so that a receiver can drop a duplicate."""
    event: str
    payload: bytes
    """JSON, for machines."""
    speak: Callable[[], Words]
    """The same for people: put into words when a channel asks for them, which not each does."""
    incident_id: Id | None = None
    rule_id: Id | None = None
    created_at: Millis
    attempted_at: Millis
    """The moment of this attempt, Unix milliseconds."""

    @property
    def words(self) -> Words:
        """What people read. To be asked for once: it is composed anew each time."""
        return self.speak()


class Twilio(Struct, frozen=True, kw_only=True):
    """The account that sends SMS for channels without one of their own."""

    account_sid: str
    auth_token: str
    sender: str = ""
    """The number that messages come from."""

    def __repr__(self) -> str:
        return "Twilio(…)"


class Told:
    """Which recipients of a message are settled, while others are still tried: by message id, the
    recipient and why it will never have it, or "" where it does. Bounded."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: OrderedDict[Id, dict[str, str]] = OrderedDict()

    def of(self, message_id: Id) -> dict[str, str]:
        """Return the settled recipients of a message, to be added to."""
        found = self._kept.setdefault(message_id, {})
        self._kept.move_to_end(message_id)
        if len(self._kept) > MOST_TOLD:
            self._kept.popitem(last=False)
        return found

    def known(self, message_id: Id) -> dict[str, str]:
        """Return a copy of the settled recipients of a message."""
        return dict(self._kept.get(message_id, {}))

    def recall(self, message_id: Id, settled: dict[str, str]) -> None:
        """Take over what was kept elsewhere of a message."""
        if settled:
            self.of(message_id).update(settled)

    def forget(self, message_id: Id) -> None:
        """Forget a message: all of it is settled."""
        self._kept.pop(message_id, None)


class Carrier(Struct, frozen=True, kw_only=True):
    """What channels send with."""

    egress: Egress
    """The way out to where the channel's own configuration leads."""
    own: Egress | None = None
    """The way to the servers of the installation's configuration, where that is another one: a
    mail server beside NetPulse serves those too who may not reach it themselves."""
    mail: Mail | None = None
    """None: only channels with a server of their own can send mail."""
    twilio: Twilio | None = None
    told: Told = field(default_factory=Told)

    def under(self, egress: Egress) -> Carrier:
        """Return it with another way out for what channels say themselves."""
        return replace(self, egress=egress, own=self.own or self.egress)


class Answer(Struct, frozen=True, kw_only=True):
    """What the far side said when it took a message."""

    status_code: int | None = None
    text: str = ""
    """At most 4,096 characters."""
    latency_ms: int = 0
    address: str | None = None
    """Where it was sent to, as it was dialled; None where that is not known."""


class DeliveryError(Exception):
    """A message was not taken; the text says why in words a person can act on.

    Attributes:
        permanent: trying again would not help.
        disables: the channel itself is refused, and every other message would be too.
        status_code: the far side's HTTP status, if it answered.
        answer: the beginning of what the far side said.
        retry_after_seconds: how long the far side asks us to wait; at most an hour.
        latency_ms: how long the attempt took.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        disables: bool = False,
        status_code: int | None = None,
        answer: str | None = None,
        retry_after_seconds: float | None = None,
        latency_ms: int | None = None,
    ) -> None:
        """Take the sentence and what is known of the failure."""
        super().__init__(message)
        self.permanent = permanent
        self.disables = disables
        self.status_code = status_code
        self.answer = answer
        self.retry_after_seconds = (
            None
            if retry_after_seconds is None
            else max(0.0, min(retry_after_seconds, RETRY_AFTER_SECONDS))
        )
        self.latency_ms = latency_ms


Send = Callable[[Any, Message, Carrier], Awaitable[Answer]]
"""A channel: takes its own configuration, delivers one message, or raises DeliveryError."""
