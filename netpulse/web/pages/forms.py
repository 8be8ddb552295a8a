"""Forms: what a browser sent as text, what is wrong with it, and what is shown again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from netpulse.rules.monitors import is_secret_header
from netpulse.web.call import Call
from netpulse.web.errors import ApiError, of_status
from netpulse.web.languages import say
from netpulse.web.phrases import phrase, refusal


class Form:
    """The fields of one sent form."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take (name, text) pairs as they were sent."""
        self._values: dict[str, list[str]] = {}
        for name, text in pairs:
            # Browsers send line ends as CR LF, whatever was typed.
            self._values.setdefault(name, []).append(text.replace("\r\n", "\n"))

    def __contains__(self, name: str) -> bool:
        """Tell whether a field was sent, empty or not."""
        return name in self._values

    def text(self, name: str) -> str:
        """Return a field's text without spaces around it; "" where it was not sent."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Return a field's text as it is: for bodies and secrets, where a space may matter."""
        return self._values.get(name, [""])[-1]

    def checked(self, name: str) -> bool:
        """Tell whether a box was ticked."""
        return bool(self.text(name))

    def every(self, name: str) -> list[str]:
        """Return all the values sent under a name."""
        return self._values.get(name, [])

    def optional(self, name: str) -> str | None:
        """Return a field's text, or None for an empty one."""
        return self.text(name) or None

    def number(self, name: str) -> int | str | None:
        """Return a whole number, None for an empty field, or the text where it is no number.

        Text goes on as it is: the API's own rules then say what is wrong with it.
        """
        text = self.text(name)
        if not text:
            return None
        return int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else text

    def secret(self, path: str) -> str | None:
        """Return a secret: None keeps what is stored, "" removes it ("clear" names it)."""
        typed = self.raw(path)
        if typed:
            return typed
        return "" if path in self.every("clear") else None

    def headers(self, name: str) -> dict[str, str | None]:
        """Return `Name: value` lines as headers; a line without a value keeps a secret one."""
        found: dict[str, str | None] = {}
        for line in self._lines(name):
            if line.strip():
                key, _, value = line.partition(":")
                found[key.strip()] = value.strip() or None
        return found

    def again(
        self, boxes: Iterable[str], secrets: Iterable[str], headers: str | None = None
    ) -> dict[str, Any]:
        """Return what to show again: texts, boxes as booleans, and no secret.

        `headers` names the field of `Name: value` lines, of which secret ones lose their value.
        """
        hidden = set(secrets)
        shown: dict[str, Any] = {
            name: values[-1] for name, values in self._values.items() if name not in hidden
        }
        shown.update({name: self.checked(name) for name in boxes})
        if headers in shown:
            shown[headers] = "\n".join(_without_secret(line) for line in self._lines(headers))
        return shown

    def _lines(self, name: str) -> list[str]:
        return self.raw(name).splitlines()


def _without_secret(line: str) -> str:
    name = line.partition(":")[0]
    return f"{name.strip()}:" if is_secret_header(name.strip()) else line


MOST_FIELDS = 2_000
"""A maintenance window may be over 1,000 monitors, each of which is a field of its form."""


async def read(call: Call, *, most: int = MOST_FIELDS) -> Form:
    """Return the form in the request's body, of at most so many fields.

    Raises:
        ApiError: 415 for anything but application/x-www-form-urlencoded, 400 for bytes that are
            no UTF-8.
    """
    media = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise of_status(415)
    body = await call.request.body()
    try:
        return Form(
            parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=most,
            )
        )
    except ValueError:
        raise of_status(400) from None


def view(
    entered: Mapping[str, Any],
    errors: Mapping[str, str] | None = None,
    secrets: Iterable[str] = (),
) -> dict[str, Any]:
    """Return a form as the templates take it. `secrets` are the paths that have a stored one."""
    return {"entered": dict(entered), "errors": dict(errors or {}), "secrets": set(secrets)}


def problems(error: ApiError, labels: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong by field: {path: "Label: message"}; "" holds what belongs to none.

    Raises:
        ApiError: `error` itself, where it is not about what was entered.
    """
    if error.status not in {400, 401, 403, 409, 412, 429}:
        raise error
    listed = error.details.get("errors")
    if not listed:
        return {"": _sentence(refusal(error))}
    found: dict[str, str] = {}
    for each in listed:
        path = re.sub(r"\[[0-9]+\]", "", each["path"]).removeprefix("$").lstrip(".")
        field = path
        while field and field not in labels:
            field = field.rpartition(".")[0]
        said = _sentence(phrase(_plain(each["message"])))
        message = f"{say(labels[field])}: {said}" if field else said
        found[field] = f"{found[field]} {message}" if field in found else message
    return found


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def _plain(message: str) -> str:
    """Return what the API says without its null: in a form that is a field left empty."""
    return message.replace(" or null", "").removesuffix(", not null")


def options(listed: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the options of a choice, a constant, in the language of the request."""
    return [{**each, "label": say(each["label"])} for each in listed]
