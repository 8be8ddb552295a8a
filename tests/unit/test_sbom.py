"""The bill of materials says what runs, and nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from netpulse import __version__

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements" / "run.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "packaging" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bill(script: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = script.bill()
    return found


def test_it_is_a_cyclonedx_document(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    refs = [part["bom-ref"] for part in bill["components"]]
    assert len(refs) == len(set(refs))
    for part in bill["components"]:
        assert part["type"] in {"library", "platform"}
        assert part["name"]
        assert re.fullmatch(r"[\w.+-]+", part["version"])
        for licence in part.get("licenses", ()):
            assert set(licence) in ({"expression"}, {"license"})
    known = {*refs, bill["metadata"]["component"]["bom-ref"]}
    listed = [each["ref"] for each in bill["dependencies"]]
    assert sorted(listed) == sorted(known)
    assert all(set(each["dependsOn"]) <= known for each in bill["dependencies"])


def test_it_names_every_package_that_is_locked(bill: dict[str, Any]) -> None:
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))
    del pins["colorama"]  # for Windows alone
    told = {
        part["name"]: part["version"]
        for part in bill["components"]
        if part.get("purl", "").startswith("pkg:pypi/")
    }
    assert told == pins
    others = {part["name"] for part in bill["components"]} - set(pins)
    assert others == {"CPython", "@tabler/core", "@tabler/icons", "htmx.org", "uplot"}
    assert bill["metadata"]["component"]["version"] == __version__


def test_it_knows_who_needs_whom(bill: dict[str, Any]) -> None:
    needs = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    names = {part["bom-ref"]: part["name"] for part in bill["components"]}
    ours = {names[ref] for ref in needs["netpulse"]}
    assert {"litestar", "granian", "apsw", "cryptography", "uplot", "CPython"} <= ours
    assert "multidict" not in ours, "it comes with aiohttp"
    (aiohttp,) = (ref for ref, name in names.items() if name == "aiohttp")
    assert "multidict" in {names[ref] for ref in needs[aiohttp]}


def test_the_same_comes_out_again_with_the_sum_of_the_executable(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = tmp_path / "netpulse"
    binary.write_bytes(b"an executable")
    written = []
    for name in ("a.json", "b.json"):
        assert script.main([str(tmp_path / name), str(binary)]) == 0
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert " parts\n" in capsys.readouterr().out
    (digest,) = json.loads(written[0])["metadata"]["component"]["hashes"]
    assert digest == {
        "alg": "SHA-256",
        "content": hashlib.sha256(b"an executable").hexdigest(),
    }


def test_make_binary_writes_it() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\ndist/netpulse:")[2].partition("\n\n")[0]
    assert "packaging/sbom.py dist/netpulse.cdx.json dist/netpulse" in recipe
