"""The settings' page on retention: what is kept, for how long, and how much room it takes."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from litestar import Response

from netpulse.model.invitation import KEPT as INVITATIONS_KEPT
from netpulse.model.time import DAY
from netpulse.model.user import Role
from netpulse.storage import backup, letters, quotas
from netpulse.web.call import Call
from netpulse.web.endpoint import VIEWER, page
from netpulse.web.figures import decimal
from netpulse.web.pages import render
from netpulse.web.pages.settings import tabs


@page("GET", "/settings/retention", access=VIEWER)
async def look(call: Call) -> Response[bytes]:
    """Show it; the room that all of it takes to those who run the instance."""
    limits = await call.session.read(quotas.of)
    raw_days = call.house.config.retention.raw_days
    shown_days = limits.retention_days
    room = None
    if call.session.role >= Role.SUPER_ADMIN:
        room = await asyncio.to_thread(_room, call.house.raw.data)
    return await render.page(
        call,
        "settings/retention.html",
        active="Settings",
        tabs=tabs(call.session, "Retention"),
        raw_days=raw_days,
        shown_days=None if shown_days is None or shown_days >= raw_days else shown_days,
        letters_days=letters.KEPT // DAY,
        invitations_days=INVITATIONS_KEPT // DAY,
        room=room,
    )


def _room(data: Path) -> dict[str, Any]:
    disk = shutil.disk_usage(data)
    return {
        "folder": str(data.resolve()),
        "used": _bytes(backup.size_of(data)),
        "free": _bytes(disk.free),
        "free_percent": 100 * disk.free // disk.total,
    }


def _bytes(count: float) -> str:
    """Return a size for people, with the prefixes of 1,024."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return (
                f"{count:.0f} {unit}"
                if count >= 10 or unit == "bytes"
                else f"{decimal(f'{count:.1f}')} {unit}"
            )
        count /= 1024
    return f"{decimal(f'{count:.1f}')} TiB"


ROUTES = (look,)
