"""The words on the badges of states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netpulse.web.languages import mark, say

_WORDS: Mapping[str, str] = {
    "pending": mark("Pending"),
    "up": mark("Up"),
    "degraded": mark("Degraded"),
    "down": mark("Down"),
    "maintenance": mark("Maintenance"),
    "paused": mark("Paused"),
    "unknown": mark("Unknown"),
    "inconclusive": mark("Inconclusive"),
    "investigating": mark("Investigating"),
    "identified": mark("Identified"),
    "monitoring": mark("Monitoring"),
    "resolved": mark("Resolved"),
    "sent": mark("Sent"),
    "failed": mark("Failed"),
    "suppressed": mark("Not sent"),
    "none": mark("No data"),
}
IMPACTS = (mark("None"), mark("Minor"), mark("Major"), mark("Critical"))
"""The impacts of incidents, as their page says them."""
_BARE = (mark("Waiting for the first check"), mark("Waiting for the first ping"))
"""What a state's text may be beside the words above."""


class StateWords:
    """The words by state, in the language of the request: `WORDS` of templates/macros.html."""

    def __getitem__(self, state: str) -> str:
        """Return the word of a state."""
        return say(_WORDS[state])

    def get(self, state: str, other: Any = None) -> Any:
        """Return the word of a state, or `other` for what is none."""
        return say(_WORDS[state]) if state in _WORDS else other

    @staticmethod
    def beyond(state: str, text: str) -> str:
        """Return what a state's text (`engine.live`, in English) says beyond the word on the
        badge beside it: "Down: no answer" -> "no answer"; static/live.js has the same."""
        word = _WORDS.get(state, state)
        if text == word:
            return ""
        return say(text.removeprefix(f"{word}: "))
