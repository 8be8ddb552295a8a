"""`netpulse user`: people, from the machine itself; works beside a running `serve`."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from typing import TYPE_CHECKING, Any

from netpulse.cli import settings
from netpulse.cli.settings import Refused

if TYPE_CHECKING:
    from netpulse.config import Loaded
    from netpulse.storage.conn import Conn
    from netpulse.storage.db import Database


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("user", help="add people, list them, help them back in")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser(
        "add",
        help="add a person, or one who has an account to another organization too "
        "(the first one founds an organization and is its super admin)",
    )
    add.add_argument("email", metavar="EMAIL", help="their email address, to sign in with")
    add.add_argument("--org", metavar="SLUG", help="organization to join (default: the only one)")
    add.add_argument("--role", choices=("viewer", "admin"), help="role there (default: viewer)")
    add.add_argument("--org-name", metavar="NAME", help="name of the first organization")
    listing = actions.add_parser("list", help="list everybody with their roles")
    password = actions.add_parser(
        "password", help="set a person's password and end all their sessions"
    )
    password.add_argument("email", metavar="EMAIL", help="whose")
    factor = actions.add_parser(
        "reset-2fa",
        help="turn a person's second factor off and end all their sessions",
    )
    addresses = actions.add_parser(
        "reset-addresses",
        help="clear the list of addresses from which a person may come",
    )
    for action in (factor, addresses):
        action.add_argument("email", metavar="EMAIL", help="whose")
    for action in (add, password):
        action.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of standard input",
        )
    for action in (add, listing, password, factor, addresses):
        settings.add_options(action)
        action.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run one action. Exit status: 0 done, 1 refused (one line says why)."""
    loaded = settings.read(arguments)
    if loaded is None:
        return 1
    from netpulse.crypto.keys import KeyTrouble
    from netpulse.storage.errors import StartRefused, StorageTrouble

    try:
        return asyncio.run(_act(arguments, loaded))
    except (Refused, KeyTrouble, StartRefused, StorageTrouble) as refusal:
        settings.complain(str(refusal))
        return 1


async def _act(arguments: argparse.Namespace, loaded: Loaded) -> int:
    from pathlib import Path

    from netpulse.crypto.keys import Masters
    from netpulse.crypto.vault import Vault
    from netpulse.storage import directory
    from netpulse.storage.opening import open_database

    data = Path(loaded.config.storage.data_dir)
    if not directory.has_data(data):
        raise Refused(
            f"there is no NetPulse data in {data}; start `netpulse serve` once, "
            "or name another --data"
        )
    masters = Masters(loaded.secrets.encryption_key or None, data / directory.KEY)
    db = await open_database(data, Vault.of(masters, has_data=True))
    try:
        if arguments.action == "list":
            await _list(db)
        elif arguments.action == "add":
            await _add(db, arguments, has_mail=bool(loaded.config.smtp.host))
        else:
            await _reset(db, arguments, has_mail=bool(loaded.config.smtp.host))
    finally:
        await db.close()
    return 0


async def _list(db: Database) -> None:
    from netpulse.model.time import rfc3339
    from netpulse.storage import orgs, users

    def rows(conn: Conn) -> list[tuple[str, str, str]]:
        found = []
        for user in users.all(conn):
            roles = []
            for membership in users.memberships(conn, user.id):
                org = orgs.get(conn, membership.org_id)
                what = f"{membership.role.word} of {org.slug if org else membership.org_id}"
                what += " by its provider" if membership.is_grant else ""
                roles.append(what if membership.is_active else f"{what} (disabled)")
            last = rfc3339(user.last_login_at) if user.last_login_at else "never"
            state = ", two-factor" if user.totp_enabled else ""
            state += "" if user.is_active else ", disabled"
            found.append(
                (user.email, ", ".join(roles) or "no organization", f"last sign-in {last}{state}")
            )
        return found

    found = await db.read(rows)
    if not found:
        sys.stdout.write(
            "Nobody yet. Open the address that `netpulse serve` prints, "
            "or: netpulse user add EMAIL\n"
        )
    width = max((len(email) for email, _, _ in found), default=0)
    for email, roles, last in found:
        sys.stdout.write(f"{email:<{width}}  {roles}  ({last})\n")


async def _add(db: Database, arguments: argparse.Namespace, *, has_mail: bool) -> None:
    from netpulse.cli import user_adding
    from netpulse.crypto import passwords
    from netpulse.engine.clock import Clock
    from netpulse.model.user import Role
    from netpulse.storage import users
    from netpulse.web import accounts

    email = accounts.normal_email(arguments.email)
    if email is None:
        raise Refused(f"{arguments.email!r} is no email address")
    is_first = await db.read(users.count) == 0
    if is_first and (arguments.org or arguments.role):
        raise Refused("the first person founds an organization: leave out --org and --role")
    if arguments.org_name and not is_first:
        raise Refused("--org-name is for the first person only; name an organization with --org")
    name = (arguments.org_name or email.rpartition("@")[2]).strip()
    flaw = accounts.org_name_problem(name)
    if flaw is not None:
        raise Refused(f"--org-name: {flaw}")
    hashed = None
    if await db.read(users.by_email, email) is None:
        hashed = await passwords.hash_password(_new_password(arguments, email))
    now = Clock().now()
    if is_first:
        try:
            if hashed is None:
                raise accounts.NotFirst
            await db.write(
                accounts.found,
                email=email,
                password_hash=hashed,
                org_name=name,
                actor=user_adding.ACTOR,
                now=now,
                first=True,
            )
        except accounts.NotFirst:
            raise Refused(
                "somebody else has just founded the first organization; try again"
            ) from None
        sys.stdout.write(f"{email} is super admin of the new organization {name}\n")
        return
    wanted = user_adding.Joining(
        email=email,
        password_hash=hashed,
        org_slug=arguments.org,
        role=Role.ADMIN if arguments.role == "admin" else Role.VIEWER,
        has_mail=has_mail,
    )
    sys.stdout.write(await db.write(user_adding.join, wanted, now) + "\n")


async def _reset(db: Database, arguments: argparse.Namespace, *, has_mail: bool) -> None:
    """Do what is done for somebody who cannot help themselves any more."""
    from netpulse.cli import user_resets
    from netpulse.crypto import passwords
    from netpulse.engine.clock import Clock
    from netpulse.storage import users
    from netpulse.web import accounts

    # What is no address (it may hold bytes that are no text) nobody has.
    email = accounts.normal_email(arguments.email)
    user = None if email is None else await db.read(users.by_email, email)
    if user is None:
        raise Refused(f"there is nobody with the address {arguments.email!r}")
    if arguments.action == "password":
        hashed = await passwords.hash_password(_new_password(arguments, user.email))
        work = user_resets.password(hashed)
    elif arguments.action == "reset-2fa":
        work = user_resets.second_factor
    else:
        work = user_resets.addresses
    now = Clock().now()

    def write(conn: Conn) -> str:
        current = users.get(conn, user.id)
        if current is None:
            raise Refused(f"somebody has just removed {user.email}; there is nothing to do")
        return work(conn, current, has_mail, now)

    sys.stdout.write(await db.write(write) + "\n")


def _new_password(arguments: argparse.Namespace, email: str) -> str:
    """Return the password that was typed twice or piped in.

    Raises:
        Refused: the two differ, or it cannot be used as a password.
    """
    from netpulse.crypto import passwords

    if arguments.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        if not sys.stdin.isatty():
            raise Refused("no terminal to ask on; pipe the password in and add --password-stdin")
        password = getpass.getpass("New password: ")
        if getpass.getpass("Once more: ") != password:
            raise Refused("the two differ; nothing was changed")
    problem = passwords.policy_problem(password, email=email)
    if problem is not None:
        raise Refused(f"this password cannot be used: {problem}")
    return password
