"""Secrets at rest: AES-256-GCM, bound to the place they are stored in."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from netpulse.crypto.keys import Masters, derive
from netpulse.crypto.tokens import Digester

_VERSION = b"\x01"
_KEY_ID_BYTES = 4
_NONCE_BYTES = 12
_TAG_BYTES = 16
HEADER_BYTES = len(_VERSION) + _KEY_ID_BYTES
"""How many bytes at the beginning of a sealed value say with which key it was sealed."""

_CHECK_CONTEXT = "meta|vault_check|-|-"
_CHECK_PLAIN = b"netpulse"
_CHECK_KEEPING = b"netpulse, with kept keys"

FOUND_TOKENS = "found-tokens"
"""The kept key of the digests by which sealed tokens are found."""
STORED_TOKENS = "stored-tokens"
"""The kept key of the digests that are stored in place of tokens."""
LINKS = "links"
"""The kept key of the links that messages carry."""
AUDIT = "audit"
"""The kept key that signs the ends of the audit chains."""


_Source = Callable[[], Sequence[bytes]]


class SealBroken(Exception):
    """A sealed value does not open: damaged, moved to another place, or sealed with another key."""


class NoKey(SealBroken):
    """The key of the data is not here (`crypto.lost`), and this cannot be done without it."""

    def __init__(self) -> None:
        super().__init__("NetPulse runs without its encryption key")


class _Key:
    """One master key, at work."""

    __slots__ = ("cipher", "header", "master")

    def __init__(self, master: bytes) -> None:
        key = derive(master, "vault")
        self.master = master
        self.cipher = AESGCM(key)
        self.header = _VERSION + hashlib.sha256(b"key id" + key).digest()[:_KEY_ID_BYTES]


class Vault:
    """Seals secrets with one key, and opens what was sealed with any of those it knows.

    A sealed value is: 1 byte version, 4 bytes key id, 12 bytes random nonce, ciphertext, 16 bytes
    tag. Header and context are authenticated with it, so that a value copied to another row,
    column, table or organization does not open there.

    Which key seals is not a matter of the process: `follow` makes it the one that the data names.
    A key that is named and not known is looked for once more where keys are kept, since another
    process may just be changing it.

    Beside the master key there are **kept keys**, which stay the same when it changes: what is
    stored as their digest could not be computed anew. They are stored sealed, and handed over with
    `keep` once the data is open; until then they are those derived from the first master key.

    One vault is shared by all threads.
    """

    __slots__ = (
        "_again",
        "_current",
        "_derived",
        "_digesters",
        "_first",
        "_kept",
        "_keys",
        "_lost",
    )

    def __init__(self, master: bytes, *others: bytes, again: _Source | None = None) -> None:
        """Take the 32-byte master key that seals until `follow` says otherwise, those that open
        beside it, and where to look when a key is missing."""
        self._first = master
        self._current = _Key(master)
        self._keys: dict[bytes, _Key] = {self._current.header: self._current}
        self._again = again
        self._lost = False
        self._kept: Mapping[str, bytes] | None = None
        self._digesters: dict[str, Digester] = {}
        self._derived: tuple[bytes, dict[str, bytes]] = (self._current.header, {})
        self._learn(others)

    @classmethod
    def of(cls, masters: Masters, *, has_data: bool) -> Vault:
        """Return the vault with the keys of an instance, which looks there again for new ones.

        Raises:
            KeyTrouble: they cannot be had.
        """
        return cls(*masters.load(has_data=has_data), again=masters.again)

    # --- keys ---

    @property
    def why_lost(self) -> str | None:
        """Why the key of the data is not here, for the operator; None: it is."""
        return None

    @property
    def is_lost(self) -> bool:
        """Whether the key of the data is not here, so that nothing is sealed, opened or signed."""
        return self.why_lost is not None

    def demand(self) -> None:
        """Refuse, before anything is done, what cannot be done without the key.

        Raises:
            NoKey: it is not here.
        """

    @property
    def header(self) -> bytes:
        """How values begin that are sealed now."""
        return self._current.header

    def add(self, master: bytes) -> bytes:
        """Know another master key too; returns how values begin that are sealed with it."""
        self._learn((master,))
        return _Key(master).header

    def knows(self, header: bytes) -> bool:
        """Tell whether values that begin so can be opened, looking for the key where needed."""
        if header not in self._keys and self._again is not None:
            self._learn(self._again())
        return header in self._keys

    def follow(self, check_value: bytes) -> bool:
        """Seal from now on with the key that `check_value` was sealed with.

        Returns whether that is so; if not, because that key cannot be had, nothing is sealed until
        it can: it could be thrown away with a key that is on its way out.
        """
        header = check_value[:HEADER_BYTES]
        if header != self._current.header or self._lost:
            self._lost = not self.knows(header)
            if not self._lost:
                self._current = self._keys[header]
        return not self._lost

    def use(self, header: bytes) -> None:
        """Seal from now on with the key whose values begin so; it must be known."""
        self._current = self._keys[header]

    def derived(self, purpose: str) -> bytes:
        """Return the key for `purpose` that changes with the master key."""
        current = self._current
        header, known = self._derived
        if header != current.header:
            known = {}
            self._derived = (current.header, known)
        if purpose not in known:
            known[purpose] = derive(current.master, purpose)
        return known[purpose]

    def _learn(self, masters: Sequence[bytes]) -> None:
        found = dict(self._keys)
        for key in map(_Key, masters):
            found.setdefault(key.header, key)
        self._keys = found

    # --- sealed values ---

    def seal(self, plain: bytes, context: str) -> bytes:
        """Return `plain` sealed for `context` ("table|column|row|org").

        Only inside the transaction that stores it: there the key is the one that the data names.

        Raises:
            SealBroken: the key that the data names cannot be had.
        """
        if self._lost:
            raise SealBroken(
                f"nothing can be sealed for {context}: the encryption key was changed, and the new "
                "one cannot be read"
            )
        key = self._current
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return key.header + nonce + key.cipher.encrypt(nonce, plain, key.header + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed for `context`.

        Raises:
            SealBroken: it does not open; the text says which context, never what is in it.
        """
        if len(sealed) < HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES:
            raise SealBroken(f"the sealed value of {context} is cut short")
        if sealed[:1] != _VERSION:
            raise SealBroken(f"the sealed value of {context} has an unknown format")
        header = sealed[:HEADER_BYTES]
        if not self.knows(header):
            raise SealBroken(f"the sealed value of {context} was sealed with another key")
        nonce = sealed[HEADER_BYTES : HEADER_BYTES + _NONCE_BYTES]
        try:
            return self._keys[header].cipher.decrypt(
                nonce, sealed[HEADER_BYTES + _NONCE_BYTES :], header + context.encode()
            )
        except InvalidTag:
            raise SealBroken(f"the sealed value of {context} is damaged") from None

    def check_value(self, *, keeping: bool = False) -> bytes:
        """Return a sealed constant; kept with the data, it tells later whether the key fits.

        `keeping` also says that kept keys are stored beside it: should they be missing, they were
        taken away.
        """
        return self.seal(_CHECK_KEEPING if keeping else _CHECK_PLAIN, _CHECK_CONTEXT)

    def accepts(self, check_value: bytes) -> bool:
        """Tell whether `check_value` was made with a key of this vault."""
        return self._checked(check_value) is not None

    def is_keeping(self, check_value: bytes) -> bool:
        """Tell whether kept keys are stored beside this `check_value`."""
        return self._checked(check_value) == _CHECK_KEEPING

    def _checked(self, check_value: bytes) -> bytes | None:
        try:
            plain = self.open(check_value, _CHECK_CONTEXT)
        except SealBroken:
            return None
        return plain if plain in (_CHECK_PLAIN, _CHECK_KEEPING) else None

    # --- kept keys ---

    def keep(self, keys: Mapping[str, bytes]) -> None:
        """Use these kept keys, by name."""
        self._kept = dict(keys)
        self._digesters = {}

    def kept(self, name: str) -> bytes:
        """Return a kept key."""
        return derive(self._first, name) if self._kept is None else self._kept[name]

    def digest(self, token: str) -> str:
        """Return by what a sealed token is found: its HMAC-SHA-256, in lower-case hex."""
        return self._digester(FOUND_TOKENS).digest(token)

    def sign(self, text: str) -> str:
        """Return the signature of an end of the audit log (HMAC-SHA-256, lower-case hex)."""
        return self._digester(AUDIT).digest(text)

    def signed(self, text: str, signature: str | None) -> bool:
        """Tell in constant time whether `text` has this signature."""
        return signature is not None and self._digester(AUDIT).matches(text, signature)

    def _digester(self, name: str) -> Digester:
        if name not in self._digesters:
            self._digesters[name] = Digester(self.kept(name))
        return self._digesters[name]
