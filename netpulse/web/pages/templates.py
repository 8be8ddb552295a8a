"""The templates: how they are read, and that they are read before somebody waits for them.

Compiling one takes 5 to 75 ms, and what it is made of as long again: a page that nobody has opened
since the start would hold up every check. So threads do it: of what people open first soon after
the start, of all else when it is first asked for.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import InternationalizationExtension

from netpulse.web import figures, languages
from netpulse.web.languages import say
from netpulse.web.pages import static
from netpulse.web.pages.states import StateWords

PRODUCT = "NetPulse UpGuardX"
_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

FIRST = (
    "dashboard.html",
    "monitors/list.html",
    "monitors/detail.html",
    "incidents/list.html",
    "status/page.html",
    "status/password.html",
    "login.html",
    "error.html",
)
"""What people open first. The others would take memory that many an instance never needs."""
FIRST_AFTER_SECONDS = 2.0
"""After the start: the first checks come before."""

_NAMED = re.compile(r"""\{%-?\s*(?:extends|import|include|from)\s+"([^"]+)\"""")
_READY: set[str] = set()


@cache
def environment() -> Environment:
    """Return the templates' environment; what is not there is an error, not an empty text."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=[InternationalizationExtension],
    )
    # `{% trans %}` becomes calls with the values as arguments (Jinja's newstyle), of ours: a text
    # is looked up in the language of the request, and texts without values are ready-made.
    made.policies["ext.i18n.trimmed"] = True
    made.newstyle_gettext = True  # type: ignore[attr-defined]  # the extension's
    made.filters["within"] = figures.within
    made.globals.update(gettext=languages.trans, ngettext=languages.trans_counted)
    made.globals.update(_=say, plural=languages.plural, language=languages.code)
    made.globals.update(
        static_url=static.url,
        product=PRODUCT,
        script_words=languages.script_words,
        figures_of=figures,
        state_words=StateWords(),
    )
    return made


async def ready(name: str) -> None:
    """Have a template compiled, with all that it names."""
    if name not in _READY:
        made = environment()
        _READY.update(await asyncio.to_thread(_compiled, made, name))


async def warm(stopping: asyncio.Event) -> None:
    """Have compiled what people open first, one after another, until NetPulse stops."""
    try:
        async with asyncio.timeout(FIRST_AFTER_SECONDS):
            await stopping.wait()
    except TimeoutError:
        for name in FIRST:
            if stopping.is_set():
                return
            await ready(name)


def _compiled(made: Environment, name: str) -> set[str]:
    """Compile a template with all that it names, and return what that was."""
    assert made.loader is not None, "it was made with one"
    static.edition()  # every page names it, and packing all files takes a tenth of a second
    found: set[str] = set()
    wanted = [name]
    while wanted:
        each = wanted.pop()
        if each not in found and each not in _READY:
            found.add(each)
            made.get_template(each)
            wanted += _NAMED.findall(made.loader.get_source(made, each)[0])
    return found
