"""What all channels share: the message, the far side's answer, and how a delivery fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from netpulse.egress.connect import Egress
from netpulse.model.channel import ChannelConfig
from netpulse.model.ids import Id
from netpulse.model.time import Millis

SEND_SECONDS = 10.0
"""The whole of one attempt: name, connection, TLS, request and answer."""
ANSWER_CHARACTERS = 4096
"""How much of a far side's answer is kept."""
RETRY_AFTER_SECONDS = 3600.0
"""The longest a far side may make us wait by Retry-After."""


class Message(Struct, frozen=True, kw_only=True):
    """One notice as it is sent; the same at every attempt but for `attempted_at`."""

    id: Id
    """Stable across attempts, so that a receiver can drop a duplicate."""
    event: str
    payload: bytes
    """JSON."""
    created_at: Millis
    attempted_at: Millis
    """The moment of this attempt, Unix milliseconds."""


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
        status_code: int | None = None,
        answer: str | None = None,
        retry_after_seconds: float | None = None,
        latency_ms: int | None = None,
    ) -> None:
        """Take the sentence and what is known of the failure."""
        super().__init__(message)
        self.permanent = permanent
        self.status_code = status_code
        self.answer = answer
        self.retry_after_seconds = (
            None
            if retry_after_seconds is None
            else max(0.0, min(retry_after_seconds, RETRY_AFTER_SECONDS))
        )
        self.latency_ms = latency_ms


Send = Callable[[ChannelConfig, Message, Egress], Awaitable[Answer]]
"""A channel: delivers one message, or raises DeliveryError."""
