"""What pages say of a notice that was not sent, or waits."""

from __future__ import annotations

import pytest

from netpulse.web.pages.render import environment

WAITS = "The rule has its quiet hours"
UNTIL = '<time datetime="2026-11-26T05:30:00Z" data-format="minute">2026-11-26 05:30:00 UTC</time>'


@pytest.mark.parametrize(
    ("reason_text", "held_until", "shown"),
    [
        (WAITS, "2026-11-26T05:30:00Z", f"{WAITS}; it is told at {UNTIL} if it still holds."),
        ("Somebody had acknowledged it.", None, "Somebody had acknowledged it."),
        ("<b>", None, "&lt;b&gt;"),
    ],
)
def test_a_moment_is_in_the_readers_zone(
    reason_text: str, held_until: str | None, shown: str
) -> None:
    template = '{% import "macros.html" as m %}{{ m.reason(notice) }}'
    notice = {"reason_text": reason_text, "held_until": held_until}
    assert environment().from_string(template).render(notice=notice) == shown
