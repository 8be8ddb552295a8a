"""A process that writes one letter and sends it, until it is killed.

Usage: python -m tests.postman_child DATA PORT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from netpulse.channels import Mail
from netpulse.model.letter import LetterKind
from netpulse.model.time import HOUR
from netpulse.storage import letters
from tests.home import home, now


async def live(data: Path, port: int) -> None:
    """Write, wake, and wait for the end."""
    mail = Mail(host="127.0.0.1", port=port, sender="netpulse@example.com", security="none")
    async with home(data, mail=mail) as here:
        await here.db.write(
            letters.post,
            LetterKind.SECURITY,
            "alice@example.com",
            "A subject",
            "Hello.\n",
            now(),
            expires_at=now() + HOUR,
        )
        here.engine.letters_written()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2])))
