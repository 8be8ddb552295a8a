"""Reading what a client sent: JSON bodies and query strings into Structs, every mistake at once.

msgspec stops at the first mistake; a person filling in a form wants all of them. So each field is
converted on its own first, and the whole only when every part is sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, TypeVar, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from msgspec import NODEFAULT, Struct

from netpulse.rules.monitors_problem import CONTROL
from netpulse.web.errors import Problem, invalid, of_status
from netpulse.wording import in_words

S = TypeVar("S", bound=Struct)

MAX_PROBLEMS = 100
MAX_NAME = 100
"""How much of an unknown field's name is repeated."""
MAX_PARAMETERS = 100


async def json_object(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the request's body, which must be a JSON object.

    Raises:
        ApiError: 415 for another content type, 400 for what is no JSON or no object, 413, 408.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise of_status(415)
    body = await request.body()
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid([Problem("$", f"this is not JSON: {error}")]) from None
    except RecursionError:
        raise invalid([Problem("$", "this JSON is nested too deeply")]) from None
    if not isinstance(found, dict):
        raise invalid([Problem("$", "the body must be a JSON object")])
    return found


def into(kind: type[S], values: Mapping[str, Any], *, ignore: Iterable[str] = ()) -> S:
    """Return `values` as a `kind`; the keys in `ignore` are left out unread.

    Raises:
        ApiError: 400 with every problem of types and unknown or missing fields.
    """
    kept = {key: value for key, value in values.items() if key not in set(ignore)}
    problems = type_problems(kind, kept)
    if problems:
        raise invalid(problems)
    return msgspec.convert(kept, kind)


def type_problems(kind: type[Struct], values: Mapping[str, Any]) -> list[Problem]:
    """Return what keeps `values` from being a `kind`: unknown, missing and ill-typed fields."""
    fields = _fields(kind)
    tag = kind.__struct_config__.tag_field
    unknown = (key for key in values if key not in fields and key != tag)
    problems = [
        Problem(f"$.{key[:MAX_NAME]}", "there is no such field here")
        for key in islice(unknown, MAX_PROBLEMS)
    ]
    for name, (annotation, required) in fields.items():
        if name not in values:
            if required:
                problems.append(Problem(f"$.{name}", "this field is required"))
            continue
        try:
            msgspec.convert(values[name], annotation)
        except msgspec.ValidationError as error:
            problems.append(_problem(f"$.{name}", str(error), annotation))
    return problems[:MAX_PROBLEMS]


def query_into(kind: type[S], query: bytes) -> S:
    """Return a query string as a `kind`; numbers and booleans are read from their text.

    Raises:
        ApiError: 400 with every unknown or unusable parameter, its path written `?name`.
    """
    try:
        pairs = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise invalid([Problem("?", f"there are more than {MAX_PARAMETERS} parameters")]) from None
    fields = _fields(kind)
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in fields:
            problems.append(Problem(f"?{name[:MAX_NAME]}", "there is no such parameter here"))
        elif name in values:
            problems.append(Problem(f"?{name}", "this parameter is given twice"))
        elif text:
            try:
                values[name] = msgspec.convert(text, fields[name][0], strict=False)
            except msgspec.ValidationError as error:
                problems.append(_problem(f"?{name}", str(error), fields[name][0]))
    problems += [
        Problem(f"?{name}", "this parameter is required")
        for name, (_, required) in fields.items()
        if required and name not in values and not any(name == given for given, _ in pairs)
    ]
    if problems:
        raise invalid(problems[:MAX_PROBLEMS])
    names = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
    return kind(**{names[name]: value for name, value in values.items()})


@cache
def _fields(kind: type[Struct]) -> dict[str, tuple[Any, bool]]:
    hints = get_type_hints(kind, include_extras=True)
    return {
        field.encode_name: (
            hints[field.name],
            field.default is NODEFAULT and field.default_factory is NODEFAULT,
        )
        for field in msgspec.structs.fields(kind)
    }


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)


def _problem(where: str, message: str, annotation: Any) -> Problem:
    """Turn msgspec's message about a value of the type `annotation`, or about a part of it, into
    ours with the whole path."""
    found = _AT.match(message)
    assert found is not None  # the pattern matches every text
    inner = (found["path"] or "").removeprefix("$")
    what = found["what"]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    if unknown:
        return Problem(f"{where}{inner}.{unknown[1]}", "there is no such field here")
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return Problem(f"{where}{inner}.{missing[1]}", "this field is required")
    return Problem(f"{where}{inner}", in_words(what, None if inner else annotation))


def line_problems(path: str, text: str) -> list[Problem]:
    """Return what is wrong with a name or a title, which is one line and not empty."""
    if not text.strip():
        return [Problem(path, f"the {path.removeprefix('$.')} is empty")]
    if CONTROL.search(text):
        return [Problem(path, "has a line break or another control character")]
    return []


def at_least_one(problems: Sequence[Any]) -> None:
    """Raise the 400 of `problems` if there are any."""
    if problems:
        raise invalid(problems)
