"""docs/hostile-hosts.md, written from the table: `python -m tests.hostile.document`."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.rows import Row
from tests.hostile.table import CHAPTERS, ROWS

PLACE = Path(__file__).parents[2] / "docs" / "hostile-hosts.md"

INTRODUCTION = """# Hostile hosts

What a check says of hosts that misbehave, one row a behaviour. Every row is a test
(`tests/hostile`): a real server does it, a real check looks at it, and verdict, `failure` and
`failure_detail` are held against this table. This page is written from the same table by
`python -m tests.hostile.document`.

Where curl (`curl -L --compressed`, its exit status and a status of 2xx), dig (records of the type
that was asked for, or none), ping (its exit status) or the Prometheus blackbox exporter (its http,
tcp, dns and icmp modules, redirects followed) decide otherwise, a note says so and why;
`python -m tests.hostile.compare` asks them.
"""


def text() -> str:
    """Return the page."""
    parts = [INTRODUCTION, f"{len(ROWS)} behaviours in {len(CHAPTERS)} chapters.\n"]
    for chapter in CHAPTERS:
        parts.append(f"## {chapter.title}\n\n{chapter.about}\n")
        lines = ["| the host | verdict | failure | detail | others |", "|---|---|---|---|---|"]
        lines += [_line(row) for row in chapter.rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(row: Row) -> str:
    others = [row.why] if row.why else []
    notes = (("curl", row.curl), ("dig", row.dig), ("ping", row.ping), ("blackbox", row.blackbox))
    others += [f"**{who}** {note}" for who, note in notes if note]
    failure = f"`{row.failure}`" if row.failure else ""
    detail = f"`{row.detail}`" if row.detail else ""
    name = row.name if row.kind == "http" else f"{row.name} ({row.kind})"
    return f"| {name} | {row.verdict} | {failure} | {detail} | {'; '.join(others)} |"


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
