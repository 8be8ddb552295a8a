"""Brings the catalogues in netpulse/web/locale to what the sources mark: `make translations`.

Extracts, merges, compiles. A text that has changed keeps its old translation as a fuzzy one, to be
looked over; one that is gone goes. `--check` changes nothing and fails where something would.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "netpulse" / "web"
LOCALE = WEB / "locale"
DOMAINS = ("netpulse", "scripts")
LANGUAGES = ("de",)
# No dates: the history of the files has them, and the same sources make the same bytes.
NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)

KEYWORDS = {"say": None, "mark": None, "plural": (2, 3), "_": None}
TEMPLATE_KEYWORDS = KEYWORDS | {"gettext": None, "ngettext": (1, 2)}
TEMPLATE_OPTIONS = {
    "newstyle_gettext": "true",
    "trimmed": "true",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
    "silent": "false",
}


class _Catalog(Catalog):
    """A catalogue that does not say which Babel wrote it."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [pair for pair in super().mime_headers if pair[0] != "Generated-By"]


@cache
def extracted(domain: str) -> Catalog:
    """Return what the sources of a domain mark, in English."""
    catalog = _empty(domain)
    for path, texts in _sources(domain):
        for _, text, _, _ in texts:
            catalog.add(text, locations=[(path, 0)])
    return catalog


def _sources(domain: str) -> Iterator[tuple[str, list]]:
    if domain == "scripts":
        for path in sorted((WEB / "static").glob("*.js")):
            yield _name(path), list(extract_from_file("javascript", path, {"said": None}))
        return
    for path in sorted(WEB.rglob("*.py")):
        if path.name != "languages.py":
            yield _name(path), list(extract_from_file("python", path, KEYWORDS))
    for path in sorted((WEB / "templates").rglob("*.html")):
        found = extract_from_file(
            "jinja2.ext:babel_extract", path, TEMPLATE_KEYWORDS, options=TEMPLATE_OPTIONS
        )
        yield _name(path), list(found)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _empty(domain: str, language: str | None = None) -> Catalog:
    return _Catalog(
        locale=language,
        domain=domain,
        project="NetPulse UpGuardX",
        header_comment="# Made by `make translations`; see docs/translating.md.",
        creation_date=NO_DATE,
        revision_date=NO_DATE,
        last_translator="-",
        language_team="-",
        copyright_holder="-",
        msgid_bugs_address="-",
        fuzzy=False,
    )


def merged(template: Catalog, language: str) -> Catalog:
    """Return a language's catalogue brought to what the sources mark."""
    catalog = _empty(template.domain, language)
    path = LOCALE / language / "LC_MESSAGES" / f"{template.domain}.po"
    if path.exists():
        with path.open("rb") as file:
            for message in read_po(file, locale=language, domain=template.domain):
                if message.id:
                    catalog[message.id] = Message(
                        message.id, message.string, flags=message.flags & {"fuzzy"}
                    )
    catalog.update(template, no_fuzzy_matching=False, update_header_comment=False)
    catalog.creation_date = catalog.revision_date = NO_DATE
    catalog.obsolete.clear()
    return catalog


def as_po(catalog: Catalog) -> bytes:
    """Return a catalogue as text."""
    out = io.BytesIO()
    write_po(out, catalog, width=100, sort_by_file=True, include_lineno=False, ignore_obsolete=True)
    return out.getvalue()


def as_mo(catalog: Catalog) -> bytes:
    """Return a catalogue as what gettext reads."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def files() -> dict[Path, bytes]:
    """Return every file as it should be."""
    found = {}
    for domain in DOMAINS:
        template = extracted(domain)
        found[LOCALE / f"{domain}.pot"] = as_po(template)
        for language in LANGUAGES:
            catalog = merged(template, language)
            folder = LOCALE / language / "LC_MESSAGES"
            found[folder / f"{domain}.po"] = as_po(catalog)
            found[folder / f"{domain}.mo"] = as_mo(catalog)
    return found


def missing() -> list[str]:
    """Return what is not translated, or only guessed."""
    found = []
    for domain in DOMAINS:
        template = extracted(domain)
        for language in LANGUAGES:
            found += [
                f"{language} {domain}: {message.id}"
                for message in merged(template, language)
                if message.id and (message.fuzzy or not _is_full(message))
            ]
    return found


def _is_full(message: Message) -> bool:
    said = message.string
    return all(said) if isinstance(said, tuple | list) else bool(said)


def main() -> int:
    """Write the files, or look at them, and say what is to be translated."""
    only_look = "--check" in sys.argv[1:]
    changed = 0
    for path, wanted in files().items():
        if path.exists() and path.read_bytes() == wanted:
            continue
        changed += 1
        print(f"{'not up to date' if only_look else 'written'}: {_name(path)}")
        if not only_look:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted)
    untold = missing()
    print(*untold, sep="\n", end="\n" if untold else "")
    return int(bool(untold) or (only_look and bool(changed)))


if __name__ == "__main__":
    sys.exit(main())
