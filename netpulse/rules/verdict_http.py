"""What is wrong with an http answer: its address, its status, its body, in that order."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from netpulse.model.check import Failure, Reading, Verdict
from netpulse.model.monitor import HttpSpec, HttpsSpec
from netpulse.rules import bodies, patterns
from netpulse.rules.verdict_words import cut, down, nothing, quoted, shown


def http(spec: HttpSpec, reading: Reading) -> Verdict | None:
    """Return what is wrong with an answer, or None."""
    if reading.status_code is None:
        return nothing()
    final = reading.final_url
    if isinstance(spec, HttpsSpec) and final is not None and not final.startswith("https://"):
        return down(
            Failure.REDIRECT,
            f"redirected to {_origin(final)}: an https monitor must stay on https",
            "to_http",
        )
    if not _expected(spec.expected_status, reading.status_code):
        wanted = _wanted(spec.expected_status)
        return down(Failure.STATUS, f"status {reading.status_code}, expected {wanted}")
    return _body(spec, reading)


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def _expected(wanted: int | str | Sequence[int | str], status: int) -> bool:
    if isinstance(wanted, int):
        return status == wanted
    if isinstance(wanted, str):
        low, _, high = wanted.partition("-")
        return int(low) <= status <= int(high or low)
    return any(_expected(one, status) for one in wanted)


def _wanted(wanted: int | str | Sequence[int | str]) -> str:
    if isinstance(wanted, int | str):
        return str(wanted)
    words = [str(one) for one in wanted]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _body(spec: HttpSpec, reading: Reading) -> Verdict | None:
    if (
        spec.body_match is None
        and spec.body_not_match is None
        and spec.body_regex is None
        and spec.json_path is None
    ):
        return None
    text = bodies.utf8(reading.body[: bodies.LONGEST], reading.charset)
    part = "" if reading.body_complete else " in the first 1 MiB"
    if spec.body_match is not None and spec.body_match.encode() not in text:
        return down(Failure.BODY, f"body does not contain {quoted(spec.body_match)}{part}")
    if spec.body_not_match is not None and spec.body_not_match.encode() in text:
        return down(Failure.BODY, f"body contains {quoted(spec.body_not_match)}")
    if spec.body_regex is not None:
        pattern = patterns.compiled(spec.body_regex)
        if not pattern.finds(text):
            if pattern.reach < len(text):
                part = f" in the first {pattern.reach // 1024} KiB"
            return down(Failure.BODY, f"body does not match {quoted(spec.body_regex)}{part}")
    if spec.json_path is not None:
        return _json(spec, spec.json_path, text, reading.body_complete)
    return None


def _json(spec: HttpSpec, path: str, text: bytes, complete: bool) -> Verdict | None:
    if not complete:
        return down(Failure.BODY, f"body is longer than 1 MiB: too long to look for {cut(path)}")
    # A large library that many an instance never needs; `is_heavy` has it loaded in a thread.
    from netpulse.rules import documents

    try:
        document = documents.decoded(text)
    except documents.DocumentError as trouble:
        return down(Failure.BODY, f"body is not JSON: {trouble}", "not_json")
    try:
        found, value = documents.first(path, document)
    except documents.DocumentError as trouble:
        return down(Failure.BODY, f"{cut(path)} cannot be looked for: {trouble}")
    if not found:
        return down(Failure.BODY, f"body has nothing at {cut(path)}", "no_node")
    if spec.json_value is UNSET or documents.equal(value, spec.json_value):
        return None
    message = f"{cut(path)} is {shown(value)}, expected {shown(spec.json_value)}"
    return down(Failure.BODY, message, "other_value")
