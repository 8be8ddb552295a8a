"""The languages that pages speak: which one a request gets, and its texts.

English is the source: a text is its own key (docs/translating.md). The others are gettext
catalogues in `locale/`, read once: `netpulse` for what the server renders, `scripts` for what
static/*.js says, which a page carries as data. The language of a request is a context variable,
set by the outermost layer (`web.border`), so that no function has to hand it on.

A text is marked where it stands: `say("…")` at the moment it is said, `mark("…")` in a constant
that somebody says later, `plural(n, "…", "…")` where a number decides, and in templates `_("…")`,
`{% trans %}` and `plural`. `make translations` collects the marks.
"""

from __future__ import annotations

import gettext
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from markupsafe import Markup

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""By code (BCP 47), each under its own name."""
SOURCE = "en"
_COOKIE = "np_language"
"""What somebody chose in this browser."""
COOKIE_SECONDS = 400 * 86_400
"""Browsers keep none longer."""
LOCALE = Path(__file__).resolve().parent / "locale"
_DECIMAL = {"de": ","}
"""What stands in front of the decimals where it is no point."""
_LONGEST = 500
"""Characters of an Accept-Language that are read."""


class Language:
    """One language: its texts, and how it writes numbers."""

    def __init__(self, code: str) -> None:
        """Read the catalogues of `code`, a key of LANGUAGES; the source has none."""
        self.code = code
        self.decimal = _DECIMAL.get(code, ".")
        self._texts = gettext.NullTranslations()
        self.scripts: dict[str, str] = {}
        """What static/*.js says, by its English."""
        self._ready: dict[str, Markup] = {}
        """What templates say as it is."""
        if code != SOURCE:
            self._texts = _read("netpulse", code)
            self.scripts = _pairs(_read("scripts", code))

    def text(self, text: str) -> str:
        """Return a text in this language; one that no catalogue knows stays as it is."""
        return self._texts.gettext(text) if text else text

    def counted(self, one: str, many: str, n: int) -> str:
        """Return the form for `n` of a text with forms."""
        return self._texts.ngettext(one, many, n)

    def markup(self, text: str) -> Markup:
        """Return a text of a template without placeholders."""
        found = self._ready.get(text)
        if found is None:
            # In templates a percent sign is always doubled.
            found = self._ready[text] = Markup(self.text(text).replace("%%", "%"))  # noqa: S704  # from a template
        return found


def _read(domain: str, code: str) -> gettext.GNUTranslations:
    with (LOCALE / code / "LC_MESSAGES" / f"{domain}.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


def _pairs(texts: gettext.GNUTranslations) -> dict[str, str]:
    """Return a whole catalogue without forms."""
    known: dict[str, str] = texts._catalog  # type: ignore[attr-defined]  # no public way to list it
    return {text: said for text, said in known.items() if text}


@cache
def language(code: str) -> Language:
    """Return a language by its code, a key of LANGUAGES."""
    return Language(code)


def cookie_name(is_https: bool) -> str:
    """Return the name of the cookie; over TLS no other host can have set it."""
    return f"__Host-{_COOKIE}" if is_https else _COOKIE


# Which one


_NOW: ContextVar[str] = ContextVar("netpulse_language", default=SOURCE)


def current() -> Language:
    """Return the language of this request."""
    return language(_NOW.get())


def use(code: str) -> None:
    """Speak `code`, a key of LANGUAGES, from here to the end of this request."""
    _NOW.set(code)


@contextmanager
def using(code: str) -> Iterator[None]:
    """Speak `code` inside."""
    before = _NOW.set(code)
    try:
        yield
    finally:
        _NOW.reset(before)


def of_request(accepted: str, chosen: str = "") -> str:
    """Return the code of the language for who accepts these (Accept-Language; RFC 9110, 12.5.4),
    and has chosen one, perhaps: one that there is, else English."""
    if chosen in LANGUAGES:
        return chosen
    best, found = 0.0, SOURCE
    for part in accepted[:_LONGEST].split(","):
        name, _, weight = part.strip().partition(";")
        code = name.partition("-")[0].strip().lower()
        if code not in LANGUAGES:
            continue
        q = 1.0
        if weight:
            read = _WEIGHT.fullmatch(weight.replace(" ", "").lower())
            q = float(read[1]) if read else 0.0
        if q > best:
            best, found = q, code
    return found


_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


# What is said


def mark(text: str) -> str:
    """Return `text` as it is: it is said later, and collected here."""
    return text


def say(text: str, /, **values: object) -> str:
    """Return a text in the language of this request; `%(name)s` in it is filled with a value."""
    said = current().text(text)
    return said % values if values else said


def plural(n: int, one: str, many: str, /, **values: object) -> str:
    """Return the form for `n`, which fills `%(num)s`, and other values theirs."""
    return current().counted(one, many, n) % {"num": n, **values}


# For templates: what `{% trans %}` becomes. Markup in the text is the template's own, values are
# escaped.


def trans(text: str, /, **values: object) -> Markup:
    """Return the text of a `{% trans %}`."""
    here = current()
    if not values:
        return here.markup(text)
    return Markup(here.text(text)) % values  # noqa: S704  # from a template


def trans_counted(one: str, many: str, n: int, /, **values: object) -> Markup:
    """Return the text of a `{% trans %}` with `{% pluralize %}`."""
    values.setdefault("num", n)
    return Markup(current().counted(one, many, n)) % values  # noqa: S704  # from a template


def code() -> str:
    """Return the code of the language of this request, for `<html lang>`."""
    return _NOW.get()


def script_words() -> Markup:
    """Return what static/words.js reads: the scripts' texts as a block of data; in English they
    have them themselves."""
    return _script_words(_NOW.get())


@cache
def _script_words(code: str) -> Markup:
    scripts = language(code).scripts
    if not scripts:
        return Markup("")
    # A text must not end the element that it is in.
    data = json.dumps(scripts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return Markup('<script type="application/json" id="np-words">{}</script>').format(Markup(data))  # noqa: S704  # ours
