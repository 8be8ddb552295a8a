"""No text takes longer than its length: neither a pattern of a user's, nor what our own code looks
through. Times are of the processor, so that a busy machine proves nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import inspect

from netpulse.config import Config, Limits
from netpulse.model.user import Role
from netpulse.rules import patterns
from netpulse.web.endpoint import PUBLIC
from tests.asgi import ask
from tests.conftest import Opener
from tests.makers import SAMPLES, Side
from tests.security.test_mass_assignment import WITH_BODY, own_url, sound_body

SLOW = [
    r"(a+)+$",
    r"(a|aa)+$",
    r"(a|a?)+$",
    r"(.*a){25}",
    r"([a-zA-Z]+)*$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(x+x+)+y",
    r"(?:a{0,100}){0,10}b",
]
"""Patterns that take a backtracking engine years."""
MOST_SECONDS = 0.5
MOST_SECONDS_OF_A_PATTERN = 4.0
"""The worst pattern on the worst text takes some 2 s (`rules.patterns`)."""
SHAPES = [
    "a",
    " ",
    "(",
    "{",
    "[",
    ".",
    "@",
    "-",
    "%",
    "\\",
    "a.",
    "a ",
    "=1,",
    "{a",
    "é",
    "😀",
    "0",
]
"""What long texts are made of; behind each comes something that fits nothing."""
ALIKE = {"HttpsSpec", "IcmpSpec", "SslSpec"}
"""Bodies whose texts others have too."""


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_of_a_users(pattern: str) -> None:
    """It ends, and meanwhile everything else goes on: the search holds no lock of ours."""
    compiled = patterns.compiled(pattern)
    searching = threading.Thread(target=compiled.finds, args=(b"a" * (1 << 20) + b"!",))
    begun = time.process_time()
    searching.start()
    turns = 0
    while searching.is_alive():
        turns += 1
        time.sleep(0.001)
    took = time.process_time() - begun
    assert took < MOST_SECONDS_OF_A_PATTERN
    # A search that held the interpreter would let nobody have a turn before its end.
    assert turns + 1 > 20 * took


def _texts(kind: Any) -> Iterator[tuple[str, int]]:
    """Yield each field of a Struct that takes text, with how much it takes."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        for each in field.type.types if isinstance(field.type, inspect.UnionType) else [field.type]:
            if isinstance(each, inspect.StrType):
                yield field.encode_name, min(each.max_length or 5_000, 60_000)


async def test_every_field_of_every_body(open_stage: Opener) -> None:
    stage = await open_stage(config=Config(limits=Limits(0, 0, 0, 0)))
    side = Side(stage, stage.cast.alice, "acme")
    slowest: dict[str, float] = {}
    for route, kind in WITH_BODY:
        if kind.__name__ in ALIKE or route.access is Role.SUPER_ADMIN:
            continue
        if route.path == "/v1/monitors/test":
            continue
        url = await own_url(side, route)
        headers = {} if route.access is PUBLIC else side.admin.headers
        sound = await sound_body(side, kind) if kind.__name__ in SAMPLES else {}
        for name, most in _texts(kind):
            for shape in SHAPES:
                body = sound | {name: (shape * most)[: most - 1] + "\x01"}
                took = 2 * MOST_SECONDS
                # Python may tidy up a whole test run's memory just now: not twice in a row.
                for _ in range(2):
                    if took < MOST_SECONDS:
                        break
                    begun = time.thread_time()
                    answer = await ask(side.app, route.method, url, headers=headers, json_body=body)
                    took = time.thread_time() - begun
                    # 503: there is no mail server on this stage.
                    assert answer.status != 500, (route, name, shape)
                slowest[f"{route} {kind.__name__}.{name} of {shape!r}"] = took
    worst = max(slowest, key=lambda what: slowest[what])
    assert len(slowest) > 500
    assert slowest[worst] < MOST_SECONDS, f"{worst}: {slowest[worst]:.3f} s"


@pytest.mark.parametrize("shape", SHAPES)
async def test_addresses_headers_and_queries(open_stage: Opener, shape: str) -> None:
    stage = await open_stage()
    side = Side(stage, stage.cast.alice, "acme")
    long = shape.encode().decode("latin-1") * 8_000
    begun = time.thread_time()
    for name in ("User-Agent", "Authorization", "Cookie", "X-Api-Key", "X-Org-Id", "Origin"):
        await side.ask("GET", "/v1/monitors", headers={name: long})
    for name in ("If-Match", "X-Forwarded-For", "Host", "Content-Type", "Accept-Language"):
        await side.ask("GET", "/monitors", headers={name: long})
    for query in ("q", "cursor", "from", "status", "page", long[:100]):
        await side.ask("GET", "/v1/monitors", query={query: long})
    for path in (f"/{long}", f"/monitors/{long}", f"/static/{long}", f"/ping/{long}"):
        await side.ask("GET", path)
    assert time.thread_time() - begun < 4 * MOST_SECONDS
