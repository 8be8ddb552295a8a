"""A mail server that delivers into a folder: what NetPulse writes to people can be read there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

LONGEST = 1024 * 1024
"""Bytes of a message; more is refused (RFC 5321: 552)."""
KEPT = 200
"""Messages; the oldest go."""


class PostBox:
    """Speaks as much SMTP (RFC 5321) as a sender needs, and believes everybody."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made."""
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._count = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the messages of one connection."""

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            await say("220 localhost takes everything")
            while True:
                line = (await reader.readuntil(b"\n")).decode("latin-1").strip()
                verb = line.partition(" ")[0].upper()
                if verb == "DATA":
                    await say("354 go on")
                    await say(self._keep(await self._message(reader)))
                elif verb == "QUIT":
                    await say("221 good bye")
                    break
                elif verb == "EHLO":
                    await say("250-localhost")
                    await say(f"250-SIZE {LONGEST}")
                    await say("250 8BITMIME")
                else:
                    await say("250 fine")
        writer.close()

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        found = bytearray()
        while (line := await reader.readuntil(b"\n")) not in {b".\r\n", b".\n"}:
            if len(found) <= LONGEST:
                # A dot at the beginning of a line was doubled (RFC 5321, section 4.5.2).
                found += line[1:] if line.startswith(b"..") else line
        return bytes(found)

    def _keep(self, message: bytes) -> str:
        if len(message) > LONGEST:
            return "552 too long"
        self._count += 1
        path = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{self._count:04}.eml"
        path.write_bytes(message)
        for old in sorted(self._folder.glob("*.eml"))[:-KEPT]:
            old.unlink()
        return "250 taken"
