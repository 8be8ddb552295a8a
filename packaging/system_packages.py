"""Install the system packages of packaging/system-packages.txt that are missing.

    python packaging/system_packages.py [--optional] PURPOSE...

Only as root, or where `sudo -n true` works, and only with apt-get; the list is printed first.
Elsewhere the missing ones are named, with the command that installs them and what is skipped
without them. Some are unpacked below build/debian instead, because installing them would begin a
service; that needs no rights. Exit status: 0 when all are there, 1 when one that matters is
missing (0 all the same with --optional).
"""

from __future__ import annotations

import argparse
import ctypes.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("system-packages.txt")
UNPACKED = LIST.parents[1] / "build" / "debian"
FONTS = [
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("~/.local/share/fonts").expanduser(),
]


class Package(NamedTuple):
    """One line of the list."""

    name: str
    purpose: str
    presence: str
    skipped: str

    @property
    def matters(self) -> bool:
        """Tell whether something is skipped without it."""
        return not self.skipped.startswith("nothing")

    @property
    def unpacks(self) -> str | None:
        """The program within the package, where that is unpacked and not installed."""
        kind, _, program = self.presence.partition(":")
        return program if kind == "unpacked" else None

    def is_there(self) -> bool:
        """Tell whether what the package brings is on this machine, wherever it came from."""
        if self.presence == "libpython":
            return has_libpython()
        if self.unpacks is not None:
            there = UNPACKED / self.name / self.unpacks
            return shutil.which(there.name) is not None or there.exists()
        if self.presence.startswith("font:"):
            family = self.presence.removeprefix("font:")
            return any(next(folder.rglob(f"{family}*"), None) for folder in FONTS)
        return any(shutil.which(program) for program in self.presence.split())


def has_libpython() -> bool:
    """Tell whether PyInstaller will find the interpreter's library."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        # Built without one: the interpreter itself is bundled.
        return True
    name = sysconfig.get_config_var("INSTSONAME") or ""
    folders = [sysconfig.get_config_var("LIBDIR"), Path(sys.base_prefix, "lib")]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    if multiarch:
        folders.append(Path("/usr/lib", multiarch))
    if any(Path(folder, name).is_file() for folder in folders if folder):
        return True
    version = "{}.{}".format(*sys.version_info)
    return ctypes.util.find_library(f"python{version}") is not None


def read() -> list[Package]:
    """Return the list, with the interpreter's version filled in."""
    packages = []
    for line in LIST.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, *rest = (part.strip() for part in line.split("|"))
            packages.append(Package(name.replace("MINOR", str(sys.version_info.minor)), *rest))
    return packages


def prefix() -> list[str] | None:
    """Return what to put before apt-get, or None where nothing may be installed."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and succeeds(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def succeeds(command: list[str], errors: int | None = subprocess.DEVNULL) -> bool:
    """Run `command` without input or output, and tell whether it succeeded."""
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
    )
    return done.returncode == 0


def install(names: list[str], before: list[str]) -> None:
    """Install the packages; a failure shows in what is missing afterwards."""
    print(f"Installing system packages: {' '.join(names)}", flush=True)
    # `env` because sudo drops the variables of its caller.
    apt = [*before, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    command = [*apt, "install", "-y", "--no-install-recommends", *names]
    # A machine that never fetched the package lists knows no package, or an old one.
    if not succeeds(command):
        succeeds([*apt, "update"])
        succeeds(command, errors=None)


def unpack(name: str, before: list[str] | None) -> None:
    """Fetch a package and lay its files below UNPACKED; a failure shows in what is missing."""
    print(f"Unpacking system package: {name}", flush=True)
    folder = UNPACKED / name
    folder.mkdir(parents=True, exist_ok=True)
    download = ["sh", "-c", 'cd "$1" && apt-get -qq download "$2"', "sh", str(folder), name]
    if not succeeds(download) and before is not None:
        succeeds([*before, "apt-get", "-qq", "update"])
        succeeds(download, errors=None)
    for archive in folder.glob("*.deb"):
        succeeds(["dpkg-deb", "-x", str(archive), str(folder)], errors=None)
        archive.unlink()


def main() -> int:
    """Install or name what is missing."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--optional", action="store_true", help="missing ones are no failure")
    options.add_argument("purposes", nargs="+", metavar="PURPOSE")
    arguments = options.parse_args()

    wanted = [package for package in read() if package.purpose in arguments.purposes]
    missing = [package for package in wanted if not package.is_there()]
    before = prefix()
    usual = [package.name for package in missing if package.unpacks is None]
    if usual and before is not None:
        install(usual, before)
    for package in missing:
        if package.unpacks is not None and shutil.which("apt-get"):
            unpack(package.name, before)
    missing = [package for package in missing if not package.is_there()]
    for package in missing:
        print(f"Missing: {package.name}. Skipped without it: {package.skipped}.")
    if missing and shutil.which("apt-get"):
        names = " ".join(package.name for package in missing)
        print(f"To install: sudo apt-get install {names}")
    failed = any(package.matters for package in missing) and not arguments.optional
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
