"""All chapters of the evidence table. A new protocol is one module with CHAPTERS, named here."""

from __future__ import annotations

from tests.hostile import dns, http, icmp, redirects, streams, tcp, tls
from tests.hostile.rows import Chapter, Row

CHAPTERS: tuple[Chapter, ...] = (
    *streams.CHAPTERS,
    *http.CHAPTERS,
    *redirects.CHAPTERS,
    *tls.CHAPTERS,
    *tcp.CHAPTERS,
    *dns.CHAPTERS,
    *icmp.CHAPTERS,
)
ROWS: tuple[Row, ...] = tuple(row for chapter in CHAPTERS for row in chapter.rows)
