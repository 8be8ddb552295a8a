"""docs/api.md keeps up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from netpulse.web import errors
from netpulse.web.api.monitors import MonitorQuery
from netpulse.web.api.routes import ROUTES
from netpulse.web.api.uptime import UptimeAnswer
from netpulse.web.openapi import declarations

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text()


def test_every_route_is_named() -> None:
    lines = TEXT.splitlines()
    missing = []
    for declared in declarations(ROUTES):
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", declared.path)
        named = re.compile(re.escape(path) + r"(?![/\w-])")
        method = re.compile(rf"\b{declared.method}\b|\$base")
        if not any(named.search(line) and method.search(line) for line in lines):
            missing.append(f"{declared.method} {path}")
    assert missing == []


def test_every_path_exists() -> None:
    known = {re.sub(r":\w+\}", "}", declared.path) for declared in declarations(ROUTES)}
    named = set(re.findall(r"/v1/[a-z0-9_/{}-]*[a-z}]", TEXT)) - {"/v1/openapi"}
    assert named <= known


def test_every_error_code_is_explained() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "netpulse" / "web").rglob("*.py"))
    codes = set(re.findall(r'(?:ApiError\(\s*\d+,|conflict\()\s*"([A-Z_]+)"', source))
    codes |= {code for code, _ in errors._OF_STATUS.values()} - {"BAD_REQUEST"}
    assert {"EMAIL_TAKEN", "CONDITION_UNAVAILABLE", "VERSION_CONFLICT"} <= codes
    assert sorted(code for code in codes if f"`{code}`" not in TEXT) == []


def test_the_fields_of_uptime_and_the_filters_are_explained() -> None:
    fields = [field.encode_name for field in msgspec.structs.fields(UptimeAnswer)]
    fields += [field.encode_name for field in msgspec.structs.fields(MonitorQuery)]
    assert [name for name in fields if f"`{name}`" not in TEXT] == []


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]
    links = {
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in link
    }
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
