"""The endless and exploding hosts in a process of their own: `python -m tests.hostile.host`.

Prints `PORT COUNT`; `/0` to `/<COUNT-1>` are the bombs, `/ok` answers at once. Ends with standard
input.
"""

from __future__ import annotations

import asyncio
import sys

from tests.hostile.streams import BOMBS
from tests.servers import HttpServer, Script, answer


async def main() -> None:
    """Serve until standard input closes."""
    scripts: dict[str, Script] = {f"/{n}": script for n, (_, script) in enumerate(BOMBS)}
    scripts["/ok"] = answer(200, body=b"ok")
    async with HttpServer(scripts) as server:
        sys.stdout.write(f"{server.port} {len(BOMBS)}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
