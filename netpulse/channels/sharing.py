"""One message for several people: who has it, who will never, and who is to be tried again.

What was taken is remembered, and kept with the notice, so that a later attempt does not tell twice
those who know.
"""

from __future__ import annotations

from collections.abc import Sequence

from netpulse.channels.base import ANSWER_CHARACTERS, Answer, Carrier, DeliveryError
from netpulse.model.ids import Id


class Shares:
    """The recipients of one message at one attempt."""

    def __init__(self, carrier: Carrier, message_id: Id, everybody: Sequence[str]) -> None:
        """Take who is to be told, less those who were."""
        self._message_id = message_id
        self._memory = carrier.told
        self._everybody = tuple(dict.fromkeys(everybody))
        self._done = carrier.told.of(message_id)
        self._later: dict[str, DeliveryError] = {}
        self._answer: Answer | None = None

    @property
    def waiting(self) -> tuple[str, ...]:
        """Those who are to be told now."""
        return tuple(one for one in self._everybody if one not in self._done)

    def took(self, recipient: str, answer: Answer) -> None:
        """Note that one took it."""
        self._done[recipient] = ""
        self._answer = answer

    def failed(self, recipient: str, error: DeliveryError) -> None:
        """Note that one did not."""
        if error.permanent and not error.disables:
            self._done[recipient] = str(error)
        self._later[recipient] = error

    def put_off(self, error: DeliveryError) -> None:
        """Note that those who are still waiting are to be told at a later attempt."""
        for one in self.waiting:
            self._later.setdefault(one, error)

    def outcome(self) -> Answer:
        """Return the answer where everybody is settled and somebody took it.

        Raises:
            DeliveryError: nobody did, or somebody is to be tried again.
        """
        open_ones = [error for one, error in self._later.items() if one not in self._done]
        has = [one for one, why in self._done.items() if not why]
        never = {one: why for one, why in self._done.items() if why}
        told = "; ".join(
            [
                *([f"taken for {', '.join(has)}"] if has else []),
                *(f"refused for {one}: {why}" for one, why in never.items()),
            ]
        )
        if open_ones or not has:
            failures = open_ones or list(self._later.values())
            worst = next((error for error in failures if error.disables), failures[0])
            if not has and not open_ones:
                self._memory.forget(self._message_id)
            text = str(worst) if len(self._everybody) == 1 else _joined(worst, told)
            waits = [error.retry_after_seconds or 0.0 for error in open_ones]
            raise DeliveryError(
                text,
                permanent=worst.permanent,
                disables=worst.disables,
                status_code=worst.status_code,
                answer=worst.answer,
                retry_after_seconds=max(waits, default=0.0) or None,
                latency_ms=worst.latency_ms,
            )
        self._memory.forget(self._message_id)
        answer = self._answer or Answer()
        text = answer.text if len(self._everybody) == 1 else f"{told}\n{answer.text}".strip()
        return Answer(
            status_code=answer.status_code,
            text=text[:ANSWER_CHARACTERS],
            latency_ms=answer.latency_ms,
            address=answer.address,
        )


def _joined(error: DeliveryError, told: str) -> str:
    return (
        f"{error} ({told})"[:ANSWER_CHARACTERS] if told and told not in str(error) else str(error)
    )
