"""Keys, the vault, tokens and passwords."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from netpulse.crypto import passwords
from netpulse.crypto.keys import KeyTrouble, Masters, derive, fresh, load_master
from netpulse.crypto.tokens import Digester, new_token
from netpulse.crypto.vault import SealBroken, Vault

MASTER = bytes(range(32))
CONTEXT = "alert_channels|config|1|2"


# --- keys ---


def test_first_start_makes_a_key_only_we_can_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    old = os.umask(0)
    try:
        master = load_master(None, path, has_data=False)
    finally:
        os.umask(old)
    assert len(master) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == master.hex() + "\n"
    assert load_master(None, path, has_data=True) == master
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    load_master(None, path, has_data=False)
    assert load_master(f" {'AB' * 32}\n", path, has_data=True) == b"\xab" * 32


def test_environment_key_leaves_no_file(tmp_path: Path) -> None:
    load_master("00" * 32, tmp_path / "secret.key", has_data=False)
    assert not list(tmp_path.iterdir())


def test_restored_key_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_text("00" * 32)
    path.chmod(0o644)
    load_master(None, path, has_data=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("env", "content", "has_data", "message"),
    [
        (
            "abc",
            None,
            False,
            (
                "ENCRYPTION_KEY must be 64 hex digits (it has 3 characters); "
                "make one with: openssl rand -hex 32"
            ),
        ),
        (
            None,
            None,
            True,
            (
                "the encryption key is missing: {path} does not exist and ENCRYPTION_KEY is not "
                "set, but there is data that was encrypted with it; restore the key file from "
                "your backup"
            ),
        ),
        (
            None,
            "",
            True,
            "{path} does not hold an encryption key (64 hex digits); restore it from your backup",
        ),
        (
            None,
            "zz" * 32,
            False,
            "{path} does not hold an encryption key (64 hex digits); restore it from your backup",
        ),
    ],
)
def test_key_refusals(
    tmp_path: Path, env: str | None, content: str | None, has_data: bool, message: str
) -> None:
    path = tmp_path / "secret.key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeyTrouble) as refused:
        load_master(env, path, has_data=has_data)
    assert str(refused.value) == message.format(path=path)
    if content is None:
        assert not path.exists()


def test_unwritable_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "secret.key"
    with pytest.raises(KeyTrouble, match="cannot write a new encryption key"):
        load_master(None, path, has_data=False)


def test_derived_keys_differ_by_purpose_and_stay_the_same() -> None:
    assert derive(MASTER, "vault") != derive(MASTER, "tokens")
    assert derive(MASTER, "vault") == derive(MASTER, "vault")
    # Pinned: another derivation would make all stored secrets unreadable.
    assert derive(MASTER, "vault").hex() == (
        "5ab3f1c8636be2341f67848afd4b084e1a2e48808ce31e78632679d0540b291b"
    )


# --- two keys, while the master key is changed ---


def test_the_next_key_takes_the_place_of_the_old_one_in_one_step(tmp_path: Path) -> None:
    masters = Masters(None, tmp_path / "secret.key")
    (old,) = masters.load(has_data=False)
    assert masters.following() is None
    new = fresh()
    assert masters.propose(new) == new
    assert stat.S_IMODE(masters.next_path.stat().st_mode) == 0o600
    assert masters.load(has_data=True) == (old, new)
    assert masters.propose(fresh()) == new, "one that is there already stays"
    masters.retire()
    assert masters.load(has_data=True) == (new,)
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]
    masters.retire()
    assert masters.load(has_data=True) == (new,), "again is harmless"


def test_what_a_killed_command_has_left_of_a_next_key_is_removed(tmp_path: Path) -> None:
    masters = Masters(None, tmp_path / "secret.key")
    masters.load(has_data=False)
    left = [tmp_path / name for name in ("secret.key.7", "secret.key.next.12345")]
    kept = tmp_path / "secret.key.next.mine"
    for step in (lambda: masters.propose(fresh()), masters.retire, masters.clear):
        for path in (*left, kept):
            path.write_text("00" * 32)
        step()
        assert not any(path.exists() for path in left)
        assert kept.exists(), "what is not ours stays"


def test_with_the_key_of_the_environment_no_key_file_takes_a_place(tmp_path: Path) -> None:
    masters = Masters("ab" * 32, tmp_path / "secret.key")
    masters.path.write_text("01" * 32)
    masters.next_path.write_text("02" * 32)
    draft = tmp_path / "secret.key.next.7"
    draft.write_text("03" * 32)
    assert masters.strays() == [draft]
    masters.retire()
    assert masters.path.read_text() == "01" * 32
    assert masters.next_path.read_text() == "02" * 32
    assert masters.strays() == []


def test_what_is_no_key_is_no_next_key(tmp_path: Path) -> None:
    masters = Masters(None, tmp_path / "secret.key")
    (old,) = masters.load(has_data=False)
    masters.next_path.write_text("12")
    assert masters.load(has_data=True) == (old,)
    assert masters.propose(b"n" * 32) == b"n" * 32
    assert masters.load(has_data=True) == (old, b"n" * 32)


def test_keys_that_cannot_be_read_any_more_are_no_error_to_a_running_server(
    tmp_path: Path,
) -> None:
    masters = Masters(None, tmp_path / "secret.key")
    masters.load(has_data=False)
    masters.path.unlink()
    assert masters.again() == ()
    with pytest.raises(KeyTrouble, match="cannot write a new encryption key"):
        Masters(None, tmp_path / "missing" / "secret.key").propose(fresh())


def test_a_vault_seals_with_the_key_that_the_data_names() -> None:
    vault, other = Vault(MASTER), Vault(b"\0" * 32)
    before = vault.seal(b"secret", CONTEXT)
    assert not vault.follow(other.check_value())
    with pytest.raises(SealBroken) as broken:
        vault.seal(b"secret", CONTEXT)
    assert str(broken.value) == (
        f"nothing can be sealed for {CONTEXT}: the encryption key was changed, and the new one "
        "cannot be read"
    )
    assert vault.open(before, CONTEXT) == b"secret", "opening goes on"
    assert vault.add(b"\0" * 32) == other.header
    assert vault.follow(other.check_value())
    assert other.open(vault.seal(b"new", CONTEXT), CONTEXT) == b"new"
    assert vault.open(before, CONTEXT) == b"secret"
    assert vault.follow(Vault(MASTER).check_value())
    assert Vault(MASTER).open(vault.seal(b"back", CONTEXT), CONTEXT) == b"back"


def test_a_vault_looks_for_a_key_that_it_lacks() -> None:
    kept: list[bytes] = []
    vault, other = Vault(MASTER, again=lambda: kept), Vault(b"\0" * 32)
    sealed = other.seal(b"secret", CONTEXT)
    with pytest.raises(SealBroken, match="another key"):
        vault.open(sealed, CONTEXT)
    kept.append(b"\0" * 32)
    assert vault.open(sealed, CONTEXT) == b"secret"
    assert vault.header == Vault(MASTER).header, "opening with it does not make it the one in force"


def test_kept_keys_stay_and_derived_ones_go_with_the_master_key() -> None:
    vault = Vault(MASTER, b"\0" * 32)
    assert vault.kept("links") == derive(MASTER, "links")
    vault.keep({"links": b"l" * 32, "found-tokens": b"f" * 32, "audit": b"a" * 32})
    digest, signature = vault.digest("token"), vault.sign("text")
    before = vault.derived("access-tokens")
    assert vault.follow(Vault(b"\0" * 32).check_value())
    assert vault.derived("access-tokens") == derive(b"\0" * 32, "access-tokens") != before
    assert vault.kept("links") == b"l" * 32
    assert vault.digest("token") == digest == Digester(b"f" * 32).digest("token")
    assert vault.signed("text", signature)
    assert not vault.signed("text", None)
    assert not vault.signed("other", signature)
    with pytest.raises(KeyError):
        vault.kept("unheard of")


# --- vault ---


def test_seal_and_open() -> None:
    vault = Vault(MASTER)
    sealed = vault.seal(b"secret", CONTEXT)
    assert b"secret" not in sealed
    assert sealed != vault.seal(b"secret", CONTEXT)
    assert Vault(MASTER).open(sealed, CONTEXT) == b"secret"
    assert vault.open(vault.seal(b"", CONTEXT), CONTEXT) == b""


def test_another_place_does_not_open() -> None:
    vault = Vault(MASTER)
    with pytest.raises(SealBroken, match="is damaged"):
        vault.open(vault.seal(b"secret", CONTEXT), "alert_channels|config|1|3")


def test_another_key_does_not_open() -> None:
    sealed = Vault(MASTER).seal(b"secret", CONTEXT)
    with pytest.raises(SealBroken, match="another key"):
        Vault(b"\0" * 32).open(sealed, CONTEXT)


def test_every_flipped_bit_is_seen() -> None:
    vault = Vault(MASTER)
    sealed = vault.seal(b"secret", CONTEXT)
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(SealBroken):
            vault.open(bytes(broken), CONTEXT)


@pytest.mark.parametrize("length", [0, 1, 5, 16, 32])
def test_a_cut_value_does_not_open(length: int) -> None:
    vault = Vault(MASTER)
    with pytest.raises(SealBroken):
        vault.open(vault.seal(b"", CONTEXT)[:length], CONTEXT)


def test_check_value_tells_the_key() -> None:
    value = Vault(MASTER).check_value()
    assert Vault(MASTER).accepts(value)
    assert not Vault(b"\0" * 32).accepts(value)
    assert not Vault(MASTER).accepts(b"")
    assert not Vault(MASTER).accepts(Vault(MASTER).seal(b"netpulse", CONTEXT))


# --- tokens ---


def test_tokens_are_long_and_all_different() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {43}
    with pytest.raises(ValueError, match="at least 16"):
        new_token(15)


def test_digest_depends_on_the_key_and_takes_any_text() -> None:
    one, two = Digester(MASTER), Digester(b"\0" * 32)
    assert one.digest("token") != two.digest("token")
    assert one.digest("token") == Digester(MASTER).digest("token")
    assert len(one.digest("")) == 64
    for text in ("", "ä", "\udc80", "x" * 100_000):
        assert one.matches(text, one.digest(text))
    assert not one.matches("token", "")
    assert not one.matches("token", "ä")


# --- passwords ---


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("elevenchars", "the password needs at least 12 characters"),
        ("", "the password needs at least 12 characters"),
        ("a" * 1025, "the password is longer than 1024 bytes"),
        ("ä" * 513, "the password is longer than 1024 bytes"),
        ("\ud800" * 12, "the password has characters that cannot be encoded"),
        ("Alice@Example.com", "the password must not be the email address"),
        ("password1234", "this password is among the most common ones; choose another"),
        ("P@ssw0rd1234", "this password is among the most common ones; choose another"),
        ("qwertyuiop123", "this password is among the most common ones; choose another"),
        ("123456789012", "this password is among the most common ones; choose another"),
        ("987654321098", "this password is among the most common ones; choose another"),
        ("aaaaaaaaaaaa", "this password is among the most common ones; choose another"),
        ("abcabcabcabc", "this password is among the most common ones; choose another"),
        ("Administrator1!", "this password is among the most common ones; choose another"),
        ("summer-winter-2026", "this password is among the most common ones; choose another"),
        ("correct horse battery staple", None),
        ("Zugspitze-2962-Biergarten", None),
        ("kV7#pLq2xW9d", None),
        ("пароль длинный и редкий", None),
        ("x7" * 30 + "unlike any other", None),
    ],
)
def test_password_policy(password: str, problem: str | None) -> None:
    assert passwords.policy_problem(password, email="alice@example.com") == problem


async def test_hash_and_verify() -> None:
    stored = await passwords.hash_password("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify_password(stored, "correct horse")
    assert not await passwords.verify_password(stored, "correct horsf")
    assert not await passwords.verify_password("not a hash", "correct horse")
    assert not await passwords.verify_password(stored, "x" * 10_240)


async def test_nothing_is_cut_off() -> None:
    long = "ä" * 512
    stored = await passwords.hash_password(long)
    assert await passwords.verify_password(stored, long)
    assert not await passwords.verify_password(stored, long[:-1] + "b")


async def test_an_unknown_user_costs_the_same_work() -> None:
    stored = await passwords.hash_password("correct horse")

    async def cost(hash_text: str | None) -> float:
        start = time.perf_counter()
        assert not await passwords.verify_password(hash_text, "wrong")
        return time.perf_counter() - start

    # In turns: a busy machine is not the same from one moment to the next.
    pairs = [(await cost(stored), await cost(None)) for _ in range(8)]
    known, unknown = map(min, zip(*pairs, strict=True))
    assert known / 3 < unknown < known * 3
