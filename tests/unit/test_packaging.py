"""What is delivered beside the code: the unit, the locks, the recipe, the make targets."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "netpulse.service"
LOCKS = ["run", "dev"]

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is missing: apt-get install systemd",
)


def pins(lock: str) -> dict[str, str]:
    """Return package -> version of one lock."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))


def asked(lock: str) -> set[str]:
    """Return the packages that an .in file names, spelled as locks spell them."""
    text = (ROOT / "requirements" / f"{lock}.in").read_text("utf-8")
    return {name.lower() for name in re.findall(r"^[A-Za-z][A-Za-z0-9._-]*", text, re.MULTILINE)}


def settings() -> list[tuple[str, str]]:
    """Return the unit's settings in order; systemd allows a name several times."""
    lines = UNIT.read_text("utf-8").splitlines()
    return [
        (name, value)
        for name, sep, value in (line.partition("=") for line in lines if line[:1] not in "#[")
        if sep
    ]


@needs_systemd
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # The executable must exist for the verification; the one it names need not be installed here.
    executable = tmp_path / "netpulse"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    unit = tmp_path / "netpulse.service"
    unit.write_text(UNIT.read_text("utf-8").replace("/usr/local/bin/netpulse", str(executable)))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], check=False, capture_output=True, text=True
    )
    # Other units of the machine may be faulty; what is said of ours counts.
    complaints = [line for line in done.stderr.splitlines() if "netpulse" in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_the_unit_stays_as_closed_as_its_readme_says() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        check=False,
        capture_output=True,
        text=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    readme = (ROOT / "packaging" / "README.md").read_text("utf-8")
    noted = re.search(r"exposure level of (\d\.\d)", readme)
    assert noted is not None
    # Other versions of systemd weigh a little differently.
    assert float(found[1]) <= float(noted[1]) + 0.3


def test_the_unit_fits_the_one_file_executable() -> None:
    unit = dict(settings())
    # The child notifies, not the process that systemd started.
    assert (unit["Type"], unit["NotifyAccess"]) == ("notify", "all")
    assert unit["UnsetEnvironment"] == "WATCHDOG_PID"
    # A kill of one of the two processes must not leave the other.
    assert unit["KillMode"] == "control-group"
    # The executable unpacks to TMPDIR and runs from there.
    temporary = unit["Environment"].removeprefix("TMPDIR=")
    assert temporary == f"/var/cache/{unit['CacheDirectory']}"
    assert temporary in unit["ExecPaths"].split()
    assert f"--data /var/lib/{unit['StateDirectory']}" in unit["ExecStart"]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_carries_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 20
    for entry in entries:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.MULTILINE)
    local = {name: version for name, version in pins(lock).items() if "+" in version}
    assert local == {}


def test_both_locks_agree_and_hold_what_was_asked_for() -> None:
    run, dev = pins("run"), pins("dev")
    assert {name: dev.get(name) for name in run} == run
    assert asked("run") <= set(run)
    assert asked("dev") <= set(dev)


def test_every_dependency_is_explained() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text("utf-8").lower()
    explained = set(re.findall(r"^\| \[?`?([a-z0-9._-]+)", text, re.MULTILINE))
    named = asked("run") | asked("dev")
    assert named - explained == set()
    # And nothing is explained that has left.
    assert explained - named - {"package", "---"} == set()


def ordered(version: str) -> tuple[int, ...]:
    """Return a version as its numbers, without what follows them."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


@pytest.mark.parametrize("lock", LOCKS)
def test_no_part_is_from_before_a_known_hole_was_closed(lock: str) -> None:
    """The list is docs/security.md's. What it names is used: a part that has left has no line."""
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    listed = text.partition("## Known holes of our parts\n")[2].partition("\n## ")[0]
    closed = re.findall(r"^\| ([a-z0-9-]+) \| ([0-9.]+) \| (.+?) \|", listed, re.MULTILINE)
    assert len(closed) >= 9
    for _, _, holes in closed:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,}(, CVE-\d{4}-\d{4,})*", holes)
    used = pins(lock)
    older = {
        name: used.get(name)
        for name, since, _ in closed
        if name not in used or ordered(used[name]) < ordered(since)
    }
    assert older == {}


def test_no_file_names_a_package_registry() -> None:
    # Put together here, so that this file does not name them either.
    hosts = [
        "".join(parts)
        for parts in (
            ("pypi", ".org"),
            ("python", "hosted.org"),
            ("npm", "js.org"),
            ("npm", "js.com"),
            ("deb.debian", ".org"),
        )
    ]
    skipped = {".git", ".venv", "build", "data", "dist", "__pycache__"}
    naming = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if skipped & set(parts) or parts[0].endswith("_cache") or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        naming += [f"{path.relative_to(ROOT)}: {host}" for host in hosts if host in text]
    assert naming == []


def test_the_project_asks_for_the_pythons_that_the_locks_serve() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["requires-python"] == ">=3.11,<3.15"
    venv = (ROOT / "packaging" / "venv.sh").read_text("utf-8")
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in venv


def test_make_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    described = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert described == set(phony[1].split())
