"""The master key of an instance, and the keys derived from it.

One secret of 32 bytes is kept outside the database: in the environment (``ENCRYPTION_KEY``, 64 hex
digits) or in ``<data>/secret.key``. Everything else is derived from it by purpose, so that a key
that leaks from one use says nothing about another.
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


def load_master(env_hex: str | None, path: Path, *, has_data: bool) -> bytes:
    """Return the 32 bytes of the master key.

    `env_hex` (the environment's ENCRYPTION_KEY) wins over the file at `path`. With neither, a new
    key is written to `path` (mode 0600), but only where `has_data` is false: a new key over
    existing data would make every stored secret unreadable.

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
        if has_data:
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
    _tighten(path)
    return bytes.fromhex(text)


def derive(master: bytes, purpose: str) -> bytes:
    """Return the 32-byte key for `purpose`, derived from `master` by HKDF-SHA256 (RFC 5869)."""
    return HKDF(
        algorithm=SHA256(), length=32, salt=b"netpulse", info=f"netpulse/{purpose}".encode()
    ).derive(master)


def _make(path: Path) -> bytes:
    """Write a fresh key to `path` so that it is there whole or not at all."""
    master = secrets.token_bytes(MASTER_BYTES)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, master.hex().encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        # link, not rename: it never replaces a key that another start made meanwhile.
        os.link(draft, path)
        draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise KeyTrouble(
            f"cannot write a new encryption key to {path}: {error.strerror} (uid {os.getuid()})"
        ) from None
    return master


def _tighten(path: Path) -> None:
    """Take the rights of group and others off a key file of ours (a restore may have set them)."""
    info = path.stat()
    if info.st_uid == os.getuid() and stat.S_IMODE(info.st_mode) & 0o077:
        path.chmod(0o600)
