"""The master key of an instance, and the keys derived from it.

One secret of 32 bytes is kept outside the database: in the environment (``ENCRYPTION_KEY``, 64 hex
digits) or in ``<data>/secret.key``. Everything else is derived from it by purpose, so that a key
that leaks from one use says nothing about another.

While the key is being changed there are two: the next one lies in ``<data>/secret.key.next`` until
nothing needs the old one any more, and then takes its place in one step.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MASTER_BYTES = 32
_HEX = re.compile(r"[0-9A-Fa-f]{64}")


class KeyTrouble(Exception):
    """The master key cannot be had; the text is one line for the operator and ends the start."""


def load_master(
    env_hex: str | None, path: Path, *, has_data: bool, only_look: bool = False
) -> bytes:
    """Return the 32 bytes of the master key.

    `env_hex` (the environment's ENCRYPTION_KEY) wins over the file at `path`. With neither, a new
    key is written to `path` (mode 0600), but only where `has_data` is false: a new key over
    existing data would make every stored secret unreadable. `only_look` leaves everything as it
    is: no key is made, and the file's rights are not mended.

    Raises:
        KeyTrouble: the key is malformed, unreadable, or missing beside existing data.
    """
    if env_hex:
        text = env_hex.strip()
        if not _HEX.fullmatch(text):
            raise KeyTrouble(
                f"ENCRYPTION_KEY must be 64 hex digits (it has {len(text)} characters); "
                "make one with: openssl rand -hex 32"
            )
        return bytes.fromhex(text)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if has_data or only_look:
            raise KeyTrouble(
                f"the encryption key is missing: {path} does not exist and ENCRYPTION_KEY is not "
                "set, but there is data that was encrypted with it; restore the key file from "
                "your backup"
            ) from None
        return _make(path)
    except OSError as error:
        raise KeyTrouble(
            f"cannot read the encryption key {path}: {error.strerror} (uid {os.getuid()})"
        ) from None
    text = raw.decode("ascii", "replace").strip()
    if not _HEX.fullmatch(text):
        raise KeyTrouble(
            f"{path} does not hold an encryption key (64 hex digits); restore it from your backup"
        )
    if not only_look:
        _tighten(path)
    return bytes.fromhex(text)


class Masters:
    """The master keys of an instance: one, and while it is being changed two."""

    __slots__ = ("_env_hex", "_path")

    def __init__(self, env_hex: str | None, path: Path) -> None:
        """Take the environment's ENCRYPTION_KEY (it wins where it is set) and the key file."""
        self._env_hex = env_hex
        self._path = path

    @property
    def from_environment(self) -> bool:
        """Whether the key is the environment's; then no key file counts."""
        return bool(self._env_hex)

    @property
    def path(self) -> Path:
        """The key file."""
        return self._path

    @property
    def next_path(self) -> Path:
        """Where the next key lies while the key is being changed."""
        return self._path.with_name(f"{self._path.name}.next")

    def load(self, *, has_data: bool, only_look: bool = False) -> tuple[bytes, ...]:
        """Return the keys there are, the one in force before the change first.

        Raises:
            KeyTrouble: as `load_master` says.
        """
        following = self.following()
        if following is not None and not self._path.exists():
            return (following,)
        first = load_master(self._env_hex, self._path, has_data=has_data, only_look=only_look)
        return (first,) if following is None else (first, following)

    def again(self) -> tuple[bytes, ...]:
        """Return the keys that can be read now; for a process whose keys do not suffice (any more).
        Never an error: what cannot be read is left out."""
        if self.from_environment:
            return ()
        # In this order, the next one cannot be missed in the moment in which it changes its name.
        found = (_read(self.next_path), _read(self._path))
        return tuple(one for one in found if one is not None)

    def following(self) -> bytes | None:
        """Return the next key of a change that has begun, or None. One that is no key is none:
        nothing can have been sealed with it."""
        return None if self.from_environment else _read(self.next_path)

    def propose(self, master: bytes) -> bytes:
        """Lay down `master` as the next key; returns it, or the one that is there already.

        Raises:
            KeyTrouble: it cannot be written.
        """
        known = self.following()
        if known is not None:
            return known
        self.next_path.unlink(missing_ok=True)
        self.clear()
        return _put(master, self.next_path)

    def retire(self) -> None:
        """Put the next key in the place of the old one, which is gone with that; does nothing where
        there is none, or where the environment's key counts: files are then not the key.

        Raises:
            KeyTrouble: the directory cannot be written.
        """
        try:
            self.clear()
            if self.from_environment:
                return
            self.next_path.replace(self._path)
            _sync(self._path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeyTrouble(
                f"cannot put the new key in the place of {self._path}: {error.strerror} "
                f"(uid {os.getuid()})"
            ) from None

    def strays(self) -> list[Path]:
        """Return what a process that was killed has left of writing a key: it may be a copy of it.
        While a key is being written, its draft is among them."""
        ours = (self._path.name, self.next_path.name)
        return sorted(
            draft
            for draft in self._path.parent.glob(f"{self._path.name}.*")
            if draft.stem in ours and draft.suffix[1:].isdecimal()
        )

    def clear(self) -> None:
        """Remove the strays. Only for who holds the rotation lock; and where there is data no start
        makes a key."""
        for draft in self.strays():
            draft.unlink(missing_ok=True)


def fresh() -> bytes:
    """Return a new master key."""
    return secrets.token_bytes(MASTER_BYTES)


def derive(master: bytes, purpose: str) -> bytes:
    """Return the 32-byte key for `purpose`, derived from `master` by HKDF-SHA256 (RFC 5869)."""
    return HKDF(
        algorithm=SHA256(), length=32, salt=b"netpulse", info=f"netpulse/{purpose}".encode()
    ).derive(master)


def _make(path: Path) -> bytes:
    """Write a fresh key to `path` so that it is there whole or not at all."""
    return _put(fresh(), path)


def _put(master: bytes, path: Path) -> bytes:
    """Write a key to `path`, where there must be none, whole or not at all; returns it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, master.hex().encode() + b"\n")
            _give(handle, path.parent)
            os.fsync(handle)
        finally:
            os.close(handle)
        # link, not rename: it never replaces a key that another start made meanwhile.
        os.link(draft, path)
        draft.unlink()
        _sync(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise KeyTrouble(
            f"cannot write a new encryption key to {path}: {error.strerror} (uid {os.getuid()})"
        ) from None
    return master


def _give(handle: int, folder: Path) -> None:
    """Give a file that root made to the owner of the directory: the server, which runs as another
    user, must be able to read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


def _read(path: Path) -> bytes | None:
    """Return the key in a file, or None where there is none that can be read."""
    try:
        text = path.read_bytes().decode("ascii", "replace").strip()
    except OSError:
        return None
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tighten(path: Path) -> None:
    """Take the rights of group and others off a key file of ours (a restore may have set them)."""
    info = path.stat()
    if info.st_uid == os.getuid() and stat.S_IMODE(info.st_mode) & 0o077:
        path.chmod(0o600)
