"""A target in a process of its own, which takes any number of connections at once."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio, sys
most = now = 0
async def answer(reader, writer):
    global most, now
    now += 1
    most = max(most, now)
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        await asyncio.sleep(float(sys.argv[1]))
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        now -= 1
        writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(most, flush=True)
asyncio.run(main())
"""


class FarTarget:
    """Answers 200 to everything, after so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/"

    def close(self) -> int:
        """End it; return how many asked it at the same time, at most."""
        out, _ = self._process.communicate(timeout=20)
        return int(out)
