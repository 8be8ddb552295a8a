"""Write what the executable is made of: a software bill of materials (CycloneDX 1.6, JSON).

    python packaging/sbom.py dist/netpulse.cdx.json [dist/netpulse]

It is read off the lock of the packages that run (requirements/run.txt), the copies of front-end
parts (netpulse/web/static/vendor/README.md) and the interpreter that builds. The same inputs give
the same file, byte for byte; with the executable named, its sum stands in it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "run.txt"
VENDORED = ROOT / "netpulse" / "web" / "static" / "vendor" / "README.md"

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ;([^\\]*))?", re.MULTILINE)
_VIA = re.compile(r"^    # via (.+)$", re.MULTILINE)
_PART = re.compile(r"^\| `[\w-]+/` \| (@?[\w./-]+) ([0-9][\w.]*) \| ([\w.-]+) \|", re.MULTILINE)
_ELSEWHERE = ("sys_platform == 'win32'",)
"""Markers of packages that no machine of ours installs."""


def main(arguments: list[str]) -> int:
    """Write the file named first; the second names the executable it is about."""
    target = Path(arguments[0])
    binary = Path(arguments[1]) if len(arguments) > 1 else None
    target.write_text(json.dumps(bill(binary), indent=2) + "\n", "utf-8")
    print(f"{target}: {len(bill(binary)['components'])} parts")
    return 0


def bill(binary: Path | None = None) -> dict[str, Any]:
    """Return the document."""
    lock = LOCK.read_text("utf-8")
    pins = {name: version for name, version, marker in _pins(lock)}
    ours = _ours(binary)
    parts = [
        _python(),
        *(_package(name, version) for name, version in sorted(pins.items())),
        *_vendored(),
    ]
    seed = json.dumps([ours, parts], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, seed)}",
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "build"}], "component": ours},
        "components": parts,
        "dependencies": _dependencies(lock, pins, ours, parts),
    }


def _pins(lock: str) -> list[tuple[str, str, str]]:
    return [
        (name.lower(), version, marker.strip())
        for name, version, marker in _PIN.findall(lock)
        if marker.strip() not in _ELSEWHERE
    ]


def _ours(binary: Path | None) -> dict[str, Any]:
    source = (ROOT / "netpulse" / "__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', source, re.MULTILINE)
    assert found is not None, "netpulse/__init__.py names the version"
    component: dict[str, Any] = {
        "type": "application",
        "bom-ref": "netpulse",
        "name": "netpulse-upguardx",
        "version": found[1],
        "licenses": [{"license": {"id": "MIT"}}],
    }
    if binary is not None:
        digest = hashlib.sha256(binary.read_bytes()).hexdigest()
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return component


def _python() -> dict[str, Any]:
    version = platform.python_version()
    return {
        "type": "platform",
        "bom-ref": "python",
        "name": "CPython",
        "version": version,
        "licenses": [{"license": {"id": "PSF-2.0"}}],
        "cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    }


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
    }
    licence = _licence(name)
    if licence is not None:
        component["licenses"] = [licence]
    return component


def _licence(name: str) -> dict[str, Any] | None:
    """Return what an installed package says of its licence, where that is short."""
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    expression = said.get("License-Expression")
    if expression:
        return {"expression": expression}
    text = said.get("License") or ""
    return {"license": {"name": text}} if 0 < len(text) <= 60 and "\n" not in text else None


def _vendored() -> list[dict[str, Any]]:
    parts = []
    for name, version, licence in _PART.findall(VENDORED.read_text("utf-8").replace(", ", " ")):
        purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
        parts.append(
            {
                "type": "library",
                "bom-ref": purl,
                "name": name,
                "version": version,
                "purl": purl,
                "licenses": [{"license": {"id": licence}}],
            }
        )
    return parts


def _dependencies(
    lock: str, pins: dict[str, str], ours: dict[str, Any], parts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return who needs whom: the lock says of each package what it came with."""
    refs = {name: f"pkg:pypi/{name}@{version}" for name, version in pins.items()}
    needs: dict[str, set[str]] = {part["bom-ref"]: set() for part in parts}
    needs[ours["bom-ref"]] = {"python", *(p["bom-ref"] for p in parts if "npm" in p["bom-ref"])}
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        pin, via = _PIN.match(block), _VIA.search(block)
        if pin is None or via is None or pin[1].lower() not in refs:
            continue
        for whom in via[1].split(", "):
            parent = "netpulse" if whom.startswith("-r ") else refs.get(whom.lower())
            if parent is not None:
                needs[parent].add(refs[pin[1].lower()])
    return [{"ref": ref, "dependsOn": sorted(found)} for ref, found in sorted(needs.items())]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
