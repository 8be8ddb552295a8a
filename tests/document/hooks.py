"""What schemathesis loads: a fresh sign-in for every request, and ids of things that exist.

Among what it tries are requests that end a sign-in, change a role, shut a user out or delete what
the next one asks for. The test's own dispenser (`NETPULSE_DISPENSER`) puts everybody right before
each request and gives a token, and makes a thing for three of four ids.
"""

from __future__ import annotations

import os
import urllib.request
from typing import Any

import schemathesis

from tests.tenancy import is_id, noun_of, parameters

DISPENSER = os.environ["NETPULSE_DISPENSER"]
SIGNED = bool(os.environ.get("NETPULSE_SIGNED"))


KEPT: dict[str, str] = {}
"""What was given and should still hold."""


def ask(path: str) -> str:
    """Return what the dispenser gives, or gave."""
    if path not in KEPT:
        with urllib.request.urlopen(DISPENSER + path, timeout=20) as answer:  # noqa: S310 - loopback
            KEPT[path] = str(answer.read().decode())
    return KEPT[path]


if SIGNED:

    @schemathesis.auth(refresh_interval=None)
    class Fresh:
        """Signs every request anew."""

        def get(self, case: Any, context: Any) -> str:
            """Return a token that holds."""
            del case, context
            return ask("token")

        def set(self, case: Any, data: str, context: Any) -> None:
            """Sign the request."""
            del context
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Put ids of real things into the path, the body and X-Org-Id."""
    del context, kwargs
    for name, value in list((case.headers or {}).items()):
        if name.lower() == "host":
            # Whom it asks is no matter of an operation: what comes with none is no HTTP.
            del case.headers[name]
        elif name.lower() == "x-org-id" and _is_drawn(value):
            case.headers[name] = ask("id/org")
        elif name.lower() == "if-match" and _is_drawn(value):
            case.headers[name] = "*"
    path = case.operation.path
    nouns = parameters("".join(f"{part}:str}}" if "{" in part else part for part in _split(path)))
    for name, noun in nouns.items():
        value = (case.path_parameters or {}).get(name)
        if noun is not None and _is_drawn(value):
            case.path_parameters[name] = ask(f"id/{noun}")
    if isinstance(case.body, dict):
        _fill(case.body)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Forget what may not hold any more."""
    del context
    path = case.operation.path
    if (
        case.method == "DELETE"
        or response.status_code in {401, 404, 409, 412}
        or (path.startswith(("/v1/auth/", "/v1/org")) and case.method != "GET")
    ):
        KEPT.clear()


def _split(path: str) -> list[str]:
    return path.replace("}", "}\0").replace("}\0", "\0").split("\0")


def _fill(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if isinstance(value, dict):
            _fill(value)
        elif is_id(name):
            noun = noun_of(name.removesuffix("s").removesuffix("_id"))
            if noun is None:
                continue
            if isinstance(value, list):
                body[name] = [ask(f"id/{noun}") if _is_drawn(each) else each for each in value]
            elif _is_drawn(value):
                body[name] = ask(f"id/{noun}")


def _is_drawn(value: Any) -> bool:
    return isinstance(value, str) and sum(map(ord, value)) % 4 != 0
