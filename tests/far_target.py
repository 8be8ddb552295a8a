"""A target in a process of its own, which takes any number of connections at once."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import asyncio, os, sys
most = now = 0
seconds = float(sys.argv[1])
async def answer(reader, writer):
    global most, now
    now += 1
    most = max(most, now)
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        await asyncio.sleep(seconds)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        now -= 1
        writer.close()
def listen():
    global seconds
    for line in sys.stdin:
        seconds = float(line)
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, listen)
    print(most, flush=True)
    os._exit(0)  # whoever waits for an answer gets none
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

    def answer_after(self, seconds: float) -> None:
        """Take so long for each answer from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def close(self) -> int:
        """End it; return how many asked it at the same time, at most."""
        out, _ = self._process.communicate(timeout=20)
        return int(out)
