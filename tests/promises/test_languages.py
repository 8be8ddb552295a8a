"""What is said about languages: no text of a page escapes the catalogues, and they are complete."""

from __future__ import annotations

import ast
import gettext
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from jinja2 import nodes

from netpulse.web import languages
from netpulse.web.pages.security import REASONS
from netpulse.web.pages.templates import environment
from netpulse.web.phrases import phrase

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "netpulse" / "web" / "templates"

SPOKEN = frozenset({"alt", "aria-label", "label", "placeholder", "title"})
"""Attributes that somebody reads or hears."""
VERBATIM = frozenset({"code", "kbd", "pre", "script", "style"})
"""What is in these is typed or run as it is."""
OURS = frozenset(
    {
        "API",
        "Atom",
        "DNS",
        "HTTP",
        "RSS",
        "SHA",
        "UTC",
    }
)
"""Names that are the same in every language."""

_ATTRIBUTE = re.compile(r"""([a-z:-]+)\s*=\s*("[^"]*"|'[^']*')""")
_LETTERS = re.compile(r"[^\W\d_]{2,}|(?<![\w&;])[aA](?![\w;])")
_ENTITY = re.compile(r"&[a-z]+;|&#[0-9]+;")


def bare(source: str) -> Iterator[str]:
    """Yield the texts of a template that stand outside of every mark."""
    html, depth = [], 0
    for _, kind, value in _tokens(source):
        if kind == "begin":
            depth += value == "trans"
            depth -= value == "endtrans"
            html.append("\N{LINE SEPARATOR}")
        elif kind == "data" and not depth:
            html.append(value)
        elif kind == "value" and not depth:
            html.append("\N{OBJECT REPLACEMENT CHARACTER}")
    whole = "".join(html)
    inside: list[str] = []
    for piece in re.split(r"(<!--.*?-->|<[^>]*>)", whole, flags=re.DOTALL):
        if piece.startswith("<!"):
            continue
        if not piece.startswith("<"):
            if not inside:
                # A macro may give attributes alone.
                yield from _words(_ATTRIBUTE.sub("", piece))
            continue
        name = piece.strip("</>").split()[0].lower() if piece.strip("</>").split() else ""
        if name in VERBATIM:
            inside = inside[:-1] if piece.startswith("</") else [*inside, name]
        for attribute, text in _ATTRIBUTE.findall(piece):
            if attribute in SPOKEN:
                yield from _words(text[1:-1])


def _words(text: str) -> Iterator[str]:
    found = [word for word in _LETTERS.findall(_ENTITY.sub("", text)) if word not in OURS]
    if found:
        yield " ".join(text.split())


def _tokens(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield data, the names of statements, and that there is a value."""
    begun = False
    for line, kind, value in environment().lex(source):
        if kind == "block_begin":
            begun = True
        elif begun and kind == "name":
            begun = False
            yield line, "begin", value
        elif kind == "data":
            yield line, "data", value
        elif kind == "variable_begin":
            yield line, "value", ""


def unsaid(source: str) -> Iterator[str]:
    """Yield the literals of expressions that read like a text, and are not marked."""
    tree = environment().parse(source)
    marked = {
        id(each)
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in MARKS
        for each in call.find_all(nodes.Const)
    }
    keys = {id(pair.key) for pair in tree.find_all(nodes.Pair)}
    compared = {
        id(each) for one in tree.find_all(nodes.Compare) for each in one.find_all(nodes.Const)
    }
    for const in tree.find_all(nodes.Const):
        text = const.value
        if not isinstance(text, str) or id(const) in marked | keys | compared:
            continue
        if _READS.match(text) and not _CODE.match(text):
            yield text


MARKS = frozenset({"_", "plural", "gettext", "ngettext"})
_READS = re.compile(r"[^\w]*[A-Z][a-z]|.*[a-z]{2,}[.,:;…]? [a-z]")
_CODE = re.compile(r"(btn|np-|mb-|mt-)|https?://|[\w.-]+@|[A-Z][a-z]*[A-Z]")
"""Classes, addresses, and names such as JSON."""


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_no_text_of_a_template_is_bare(path: Path) -> None:
    source = path.read_text("utf-8")
    assert [*bare(source), *unsaid(source)] == [], "mark it: _(…) or {% trans %}"


def test_bare_text_is_found() -> None:
    """The test above would notice."""
    for source, found in (
        ("<p>Hello</p>", ["Hello"]),
        ("<p>{{ _('Hello') }}</p>", []),
        ("{% trans %}Hello{% endtrans %} you", ["you"]),
        ('<a href="/x" title="Go on">{{ x }}</a>', ["Go on"]),
        ("<pre>curl</pre><code>down</code> &nbsp;", []),
        ('<p class="{% if x %}wide{% endif %}">{{ x }}: {{ y }}</p>', []),
    ):
        assert list(bare(source)) == found, source


# The catalogues


def translations() -> ModuleType:
    """Return packaging/translations.py."""
    path = ROOT / "packaging" / "translations.py"
    found = importlib.util.spec_from_file_location("translations", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_mark_is_collected() -> None:
    """What collects reads tokens: a text inside an f-string would escape it, and one in pieces."""
    known = {
        text
        for message in translations().extracted("netpulse")
        for text in (message.id if isinstance(message.id, tuple) else (message.id,))
    }
    seen = 0
    for path in sorted((ROOT / "netpulse" / "web").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            first = {"say": 0, "mark": 0, "plural": 1}.get(node.func.id)
            if first is None or path.name == "languages.py":
                continue
            texts = node.args[first : first + (2 if first else 1)]
            for each in texts:
                assert not isinstance(each, ast.JoinedStr), f"{path}:{node.lineno}"
                if isinstance(each, ast.Constant):
                    seen += 1
                    assert each.value in known, f"{path}:{node.lineno}: {each.value}"
    assert seen > 500


def test_what_scripts_say_is_in_their_catalogue() -> None:
    """What reads scripts for texts passes over all that follows a sign that it takes for another's
    begin, such as a slash among the characters of a regular expression, and says nothing of it."""
    template = (ROOT / "netpulse" / "web" / "locale" / "scripts.pot").read_bytes()
    known = {each.id for each in read_po(io.BytesIO(template))}
    spoken = {
        text
        for path in (ROOT / "netpulse" / "web" / "static").glob("*.js")
        for text in re.findall(r'\bsaid\("([^"]+)"', path.read_text("utf-8"))
    }
    assert len(spoken) > 20
    assert spoken - known == set()


OTHERS = sorted(set(languages.LANGUAGES) - {languages.SOURCE})


def test_the_catalogues_are_what_the_sources_mark() -> None:
    """`make translations` would change nothing, and nothing is left to translate."""
    tool = translations()
    assert sorted(tool.LANGUAGES) == OTHERS
    stale = [
        str(path.relative_to(ROOT))
        for path, wanted in tool.files().items()
        if not path.exists() or path.read_bytes() != wanted
    ]
    assert stale == [], "make translations"
    assert tool.missing() == []


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("domain", ["netpulse", "scripts"])
def test_a_translation_has_the_places_of_its_text(code: str, domain: str) -> None:
    """What is filled in, and the elements around words, are the same as in English."""
    with (languages.LOCALE / code / "LC_MESSAGES" / f"{domain}.po").open("rb") as file:
        messages = [message for message in read_po(file, locale=code) if message.id]
    assert len(messages) > 20
    for message in messages:
        for text, said in _pairs(message):
            assert places(said) == places(text), message.id
            assert text.strip() == text or said != said.strip(), message.id


def _pairs(message: Message) -> Iterator[tuple[str, str]]:
    if not isinstance(message.id, tuple | list):
        yield message.id, message.string
        return
    for said in message.string:
        # The form for one may leave the number out.
        text = message.id[1] if "%(num)s" in said or "%(n)s" in said else message.id[0]
        yield text, said


_PLACES = re.compile(r"%\([a-z_0-9]+\)s|%%|\{[a-z]+\}|</?[a-z]+|href=\"[^\"]*\"")


def places(text: str) -> Counter[str]:
    """Count what is filled in, and the elements."""
    return Counter(_PLACES.findall(text.replace("%%", "")))


@pytest.mark.parametrize("code", OTHERS)
def test_what_runs_reads_what_was_written(code: str) -> None:
    """The .mo beside it, read as at run time, says what the .po says."""
    for domain in ("netpulse", "scripts"):
        folder = languages.LOCALE / code / "LC_MESSAGES"
        with (folder / f"{domain}.po").open("rb") as file:
            written = {m.id: m.string for m in read_po(file, locale=code) if m.id}
        with (folder / f"{domain}.mo").open("rb") as file:
            read = gettext.GNUTranslations(file)
        for text, said in written.items():
            if isinstance(text, tuple):
                assert tuple(read.ngettext(*text, n) for n in (1, 2)) == tuple(said)
            else:
                assert read.gettext(text) == said


SAYS_NO = frozenset({"Problem", "ValueError", "PictureRefused", "ApiError", "conflict", "too_many"})
"""What makes a refusal of a text."""
FORMS = (
    "web/api/status_pages.py",
    "web/api/status_page_draft.py",
    "web/api/announcements.py",
    "web/api/clients.py",
    "web/api/grants.py",
    "web/api/invitations.py",
    "web/api/me.py",
    "web/api/members.py",
    "web/status/subscribing.py",
    "rules/colors.py",
    "rules/logos.py",
    "rules/members.py",
    "rules/status_pages.py",
)
"""Whose refusals a person meets at a form."""
FOR_PROGRAMS = frozenset(
    {
        "is no data: URL in base64",
        "is neither a data: URL nor the address of the logo that is there",
        "is none of 7, or null",
        "stays as it is: metrics know the client by it; leave it out",
    }
)
"""No form sends what these are about."""


def refusals(path: str) -> Iterator[str]:
    """Return what a module refuses with, a 7 in each place of a value."""
    for node in ast.walk(ast.parse((ROOT / "netpulse" / path).read_text("utf-8"))):
        said: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = (
                node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            )
            said = node.args if name in SAYS_NO else []
        elif isinstance(node, ast.Assign | ast.Return) and node.value is not None:
            named = isinstance(node, ast.Return) or ast.unparse(node.targets[0]) in {"why", "said"}
            said = [node.value] if named else []
        for each in said:
            parts = each.values if isinstance(each, ast.JoinedStr) else [each]
            if isinstance(each, ast.JoinedStr | ast.Constant):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts
                )
                if " " in text and not text.startswith(("$", "/")):
                    yield text


@pytest.mark.parametrize("path", FORMS)
def test_forms_refuse_in_the_readers_language(path: str) -> None:
    found = set(refusals(path)) - FOR_PROGRAMS
    with languages.using("de"):
        assert [text for text in sorted(found) if phrase(text) == text] == []


def test_why_a_sign_in_failed_is_said_in_the_readers_language() -> None:
    path = ROOT / "netpulse" / "web" / "sign_in.py"
    (why,) = (
        node
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "_reason"
    )
    said = {
        each.value
        for node in ast.walk(why)
        if isinstance(node, ast.Return) and node.value is not None
        for each in ast.walk(node.value)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }
    # Who is unknown belongs to no organization, whose page could show it.
    assert said - {"unknown address"} | {"wrong code"} == set(REASONS)


def test_whole_numbers_are_written_as_the_reader_writes_them() -> None:
    """1,592 is a number below two to a German."""
    web = ROOT / "netpulse" / "web"
    spoken = [*(web / "pages").rglob("*.py"), *(web / "status").rglob("*.py")]
    paths = [*spoken, *(web / "templates").rglob("*.html")]
    assert len(paths) > 100
    assert [path for path in paths if ":,}" in path.read_text("utf-8")] == []
