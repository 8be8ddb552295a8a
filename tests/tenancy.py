"""Where an id of another organization could be put: read off the declared routes themselves.

Nothing here names a route. A path parameter, a field of a body or a filter that is an id by its
name is found by walking the declarations; a new one without a maker is an error that says what to
add to tests/makers.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct, inspect

from netpulse.model.user import Role
from netpulse.web.endpoint import Declaration
from netpulse.web.repeats import Repeats
from tests.makers import ALIASES, MAKERS, NOT_IDS


class Unknown(AssertionError):
    """Something has an id and nobody can make one."""


class Unnoted(Repeats):
    """Notes no refusal in the audit log."""

    def left_out(self, name: Any, now: float) -> None:
        """Say that this one is left out too."""


@dataclass(frozen=True)
class Route:
    """One address with its method."""

    method: str
    path: str
    access: Any
    declaration: Declaration | None

    @property
    def parameters(self) -> dict[str, str | None]:
        """By name: the noun whose id it is, or None for what is no id."""
        return parameters(self.path)

    @property
    def is_for_the_instance(self) -> bool:
        """Whether only a super administrator may use it, who may see every organization."""
        return self.access is Role.SUPER_ADMIN

    def url(self, values: dict[str, str]) -> str:
        """Return the address with its parameters filled in."""
        return re.sub(r"\{(\w+):\w+\}", lambda found: values.get(found[1], "x"), self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes_of(handlers: tuple[HTTPRouteHandler, ...]) -> list[Route]:
    """Return the routes of the table of contents."""
    found = []
    for handler in handlers:
        (method,) = handler.http_methods
        (path,) = handler.paths
        opt = handler.opt
        found.append(Route(str(method), path, opt.get("access"), opt.get("declaration")))
    return found


@cache
def _cached(path: str) -> tuple[tuple[str, str | None], ...]:
    found: list[tuple[str, str | None]] = []
    before = ""
    for part in path.split("/"):
        parameter = re.fullmatch(r"\{(\w+):\w+\}", part)
        if parameter is None:
            before = part or before
            continue
        name = parameter[1]
        if name in NOT_IDS:
            found.append((name, None))
            continue
        word = before if name == "id" else name.removesuffix("_id")
        noun = noun_of(word)
        if noun is None or (name != "id" and not name.endswith("_id")):
            raise Unknown(
                f"{path}: nobody can make what {{{name}}} names. Add a function that makes one to "
                f"tests/makers.py and enter it in MAKERS (as {singular(word)!r}), or another word "
                f"for a noun in ALIASES; if it is no id of an organization's, say why in NOT_IDS"
            )
        found.append((name, noun))
    return tuple(found)


def parameters(path: str) -> dict[str, str | None]:
    """Return the parameters of a path: by name the noun whose id it is, None for no id.

    Raises:
        Unknown: nobody can make one.
    """
    return dict(_cached(path))


def singular(word: str) -> str:
    """Return the noun of a collection: "alert-channels" is of "alert_channel"."""
    plain = word.replace("-", "_")
    return plain.removesuffix("s") if not plain.endswith("ss") else plain


def noun_of(word: str) -> str | None:
    """Return the noun that a word of a path, or a field's name without `_id`, stands for."""
    plain = singular(word)
    for name in (plain, *(plain[at + 1 :] for at, sign in enumerate(plain) if sign == "_")):
        # "fallback_channel" is a channel.
        if name in MAKERS:
            return name
        if name in ALIASES:
            return ALIASES[name]
    return None


def is_id(name: str) -> bool:
    """Tell whether a field or parameter is an id by its name."""
    return name not in NOT_IDS and (name == "id" or name.endswith(("_id", "_ids")))


def noun_of_field(kind: type[Struct], name: str) -> str:
    """Return the noun whose id a field holds.

    Raises:
        Unknown: nobody can make one.
    """
    noun = noun_of(re.sub(r"_ids?$", "", name))
    if noun is None:
        raise Unknown(
            f"{kind.__name__}.{name}: nobody can make what it names. Add a maker to MAKERS in "
            "tests/makers.py, another word in ALIASES, or the reason in NOT_IDS"
        )
    return noun


IN_LIST = "[]"
"""In the path of a place: the first of a list."""


@dataclass(frozen=True)
class Place:
    """A field of a body (or of a query) that holds an id, or several."""

    kind: type[Struct]
    """The Struct that a whole body is (one of a union)."""
    path: tuple[str, ...]
    noun: str
    is_list: bool

    def put(self, body: dict[str, Any], value: str) -> dict[str, Any]:
        """Return the body with the id in this place."""
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
        at: Any = found
        for name, following in pairwise(self.path):
            if name == IN_LIST:
                at += [] if at else [{}]
                at = at[0]
            else:
                at = at.setdefault(name, [] if following == IN_LIST else {})
        at[self.path[-1]] = [value] if self.is_list else value
        return found

    def __str__(self) -> str:
        return f"{self.kind.__name__}.{'.'.join(self.path)}"


def variants(kind: Any) -> list[type[Struct]]:
    """Return the Structs of a body's type: itself, or the members of a union."""
    info = inspect.type_info(kind)
    types = info.types if isinstance(info, inspect.UnionType) else [info]
    return [each.cls for each in types if isinstance(each, inspect.StructType)]


def places(kind: type[Struct]) -> Iterator[Place]:
    """Yield where ids go in a Struct, in its parts too."""
    yield from _places(kind, kind, ())


def _places(whole: type[Struct], part: type[Struct], path: tuple[str, ...]) -> Iterator[Place]:
    info = inspect.type_info(part)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        name = field.encode_name
        for inner, is_list in _inner(field.type):
            if isinstance(inner, inspect.StructType):
                if inner.cls is not part:
                    yield from _places(whole, inner.cls, (*path, name, *([IN_LIST] * is_list)))
            elif is_id(name) and isinstance(inner, inspect.StrType):
                yield Place(whole, (*path, name), noun_of_field(part, name), is_list)


def _inner(info: inspect.Type) -> Iterator[tuple[inspect.Type, bool]]:
    """Yield the types that a field may hold, and whether they come as a list."""
    if isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _inner(each)
    elif isinstance(info, inspect.ListType | inspect.VarTupleType | inspect.SetType):
        for each, _ in _inner(info.item_type):
            yield each, True
    elif isinstance(info, inspect.Metadata):
        yield from _inner(info.type)
    else:
        yield info, False


@dataclass(frozen=True)
class Filter:
    """A parameter of a query string that takes text."""

    name: str
    noun: str | None
    """Whose id it is; None: it is free text."""


def filters(kind: type[Struct]) -> list[Filter]:
    """Return the parameters of a declared query that another organization's words fit into."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    found = []
    for field in info.fields:
        texts = [inner for inner, _ in _inner(field.type) if isinstance(inner, inspect.StrType)]
        if texts:
            name = field.encode_name
            noun = noun_of_field(kind, name) if is_id(name) else None
            found.append(Filter(name, noun))
    return found


@dataclass
class SentForm:
    """A form of a page, as a browser would send it."""

    method: str
    action: str
    fields: list[tuple[str, str]]
    choices: dict[str, list[str]]
    """By name: what else could be chosen."""


class Page(HTMLParser):
    """The forms and links of a page."""

    def __init__(self, html: str) -> None:
        """Read a page."""
        super().__init__(convert_charrefs=True)
        self.forms: list[SentForm] = []
        self.links: list[str] = []
        self._form: SentForm | None = None
        self._loose: dict[str, SentForm] = {}
        self._select: str | None = None
        self._area: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is sent, and what is linked."""
        found = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "form":
            method = found.get("method", "get").upper()
            self._form = SentForm(method, found.get("action", ""), [], {})
            self.forms.append(self._form)
        elif self._form is None:
            return
        elif tag == "input" and found.get("name"):
            kind = found.get("type", "text")
            value = found.get("value", "on" if kind == "checkbox" else "")
            if kind in {"checkbox", "radio"}:
                self._form.choices.setdefault(found["name"], []).append(value)
                if "checked" not in found:
                    return
            self._form.fields.append((found["name"], value))
        elif tag == "select" and found.get("name"):
            self._select = found["name"]
        elif tag == "option" and self._select is not None:
            value = found.get("value", "")
            self._form.choices.setdefault(self._select, []).append(value)
            known = {name for name, _ in self._form.fields}
            if "selected" in found or self._select not in known:
                self._form.fields = [pair for pair in self._form.fields if pair[0] != self._select]
                self._form.fields.append((self._select, value))
        elif tag == "textarea" and found.get("name"):
            self._area = found["name"]
            self._form.fields.append((self._area, ""))
        elif tag == "button" and found.get("name"):
            self._form.choices.setdefault(found["name"], []).append(found.get("value", ""))

    def handle_data(self, data: str) -> None:
        """Take the text of a text area."""
        if self._area is not None and self._form is not None:
            name, text = self._form.fields[-1]
            self._form.fields[-1] = (name, text + data)

    def handle_endtag(self, tag: str) -> None:
        """Close what was open."""
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None


@dataclass(frozen=True)
class Field:
    """A field of a form that holds an id, or could."""

    name: str
    nouns: tuple[str, ...]
    """Whose id it may be."""
    rests: tuple[tuple[tuple[str, str], ...], ...]
    """What else is sent: as the page has it, and with each other choice that it offers."""


MOST_CHOICES = 8
"""A field with more is a list of things, not a switch."""


def id_fields(form: SentForm, own: dict[str, str]) -> Iterator[Field]:
    """Yield the fields of a form where another id could be put. `own` are ids of the attacker's,
    by noun, which the page may offer."""
    nouns = {value: noun for noun, value in own.items()}
    held: dict[str, set[str]] = {}
    for name, value in form.fields:
        held.setdefault(name, set()).add(value)
    for name, values in form.choices.items():
        held.setdefault(name, set()).update(values)
    for name, values in sorted(held.items()):
        if name in NOT_IDS:
            continue
        found = {nouns[value] for value in values if value in nouns}
        if not found and is_id(name):
            noun = noun_of(re.sub(r"_ids?$", "", name))
            found = set(own) if noun is None else {noun}
        if found:
            yield Field(name, tuple(sorted(found)), tuple(_rests(form, name)))


def _rests(form: SentForm, name: str) -> Iterator[tuple[tuple[str, str], ...]]:
    # Whether the form is still the latest is not the question here.
    rest = tuple(pair for pair in form.fields if pair[0] not in {name, "version"})
    yield rest
    for other, values in form.choices.items():
        if other != name and len(values) <= MOST_CHOICES:
            without = tuple(pair for pair in rest if pair[0] != other)
            for value in values:
                if (other, value) not in rest:
                    yield (*without, (other, value))


def query_names(page: Page, url: str) -> set[tuple[str, str]]:
    """Return (path, parameter) of what the links and search forms of the page at `url` ask for."""
    found: set[tuple[str, str]] = set()
    for link in page.links:
        parts = urlsplit(link)
        if not parts.netloc:
            found |= {(parts.path or url, name) for name, _ in parse_qsl(parts.query)}
    for form in page.forms:
        if form.method == "GET":
            path = urlsplit(form.action).path or url
            found |= {(path, name) for name, _ in form.fields}
            found |= {(path, name) for name in form.choices}
    return found
