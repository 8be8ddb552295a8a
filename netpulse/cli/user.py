"""`netpulse user`: people, from the machine itself; works beside a running `serve`."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from typing import TYPE_CHECKING, Any

from netpulse.cli import settings

if TYPE_CHECKING:
    from netpulse.config import Loaded
    from netpulse.model.org import Org
    from netpulse.storage.conn import Conn
    from netpulse.storage.db import Database


class Refused(Exception):
    """It cannot be done; the text says why and what to do."""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    command = commands.add_parser("user", help="add people, list them, help them back in")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser(
        "add", help="add a person (the first one founds an organization and is its super admin)"
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
            await _add(db, arguments)
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
                roles.append(f"{membership.role.word} of {org.slug if org else membership.org_id}")
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


async def _add(db: Database, arguments: argparse.Namespace) -> None:
    from netpulse.crypto import passwords
    from netpulse.engine.clock import Clock
    from netpulse.model.ids import new_id
    from netpulse.model.user import Actor, Membership, Role, User
    from netpulse.storage import audit, users
    from netpulse.web import accounts

    email = accounts.normal_email(arguments.email)
    if email is None:
        raise Refused(f"{arguments.email!r} is no email address")
    hashed = await passwords.hash_password(_new_password(arguments, email))
    now = Clock().now()
    actor = Actor(kind="cli", label="user add")
    if await db.read(users.count) == 0:
        if arguments.org or arguments.role:
            raise Refused("the first person founds an organization: leave out --org and --role")
        name = arguments.org_name or email.rpartition("@")[2]
        await db.write(
            accounts.found,
            email=email,
            password_hash=hashed,
            org_name=name,
            actor=actor,
            now=now,
            first=True,
        )
        sys.stdout.write(f"{email} is super admin of the new organization {name}\n")
        return
    if arguments.org_name:
        raise Refused("--org-name is for the first person only; name an organization with --org")
    role = Role.ADMIN if arguments.role == "admin" else Role.VIEWER

    def join(conn: Conn) -> Org:
        org = _org_of(conn, arguments.org)
        if users.by_email(conn, email) is not None:
            raise Refused(f"{email} exists already; `netpulse user list` shows everybody")
        user = User(
            id=new_id(now), email=email, password_hash=hashed, home_org_id=org.id, created_at=now
        )
        member = Membership(user_id=user.id, org_id=org.id, role=role, created_at=now)
        users.insert(conn, user, [member])
        after = {"email": email, "role": role.word}
        audit.append(conn, org.id, actor, "user.created", "user", user.id, None, after, now)
        return org

    org = await db.write(join)
    sys.stdout.write(f"{email} is {role.word} of {org.name}\n")


def _org_of(conn: Conn, slug: str | None) -> Org:
    """Return the organization with this slug, or the only one.

    Raises:
        Refused: there is none, or which one is meant must be said.
    """
    from netpulse.storage import orgs

    if slug is not None:
        org = orgs.by_slug(conn, slug)
        if org is None:
            raise Refused(f"there is no organization {slug!r}")
        return org
    every = orgs.all(conn)
    if len(every) != 1:
        names = ", ".join(org.slug for org in every)
        raise Refused(f"there are several organizations; choose one with --org: {names}")
    return every[0]


async def _reset(db: Database, arguments: argparse.Namespace, *, has_mail: bool) -> None:
    """Do what is done for somebody who cannot help themselves any more."""
    from netpulse.cli import user_resets
    from netpulse.crypto import passwords
    from netpulse.engine.clock import Clock
    from netpulse.storage import users

    user = await db.read(users.by_email, arguments.email)
    if user is None:
        raise Refused(f"there is nobody with the address {arguments.email!r}")
    if arguments.action == "password":
        hashed = await passwords.hash_password(_new_password(arguments, user.email))
        work = user_resets.password(hashed)
    elif arguments.action == "reset-2fa":
        work = user_resets.second_factor
    else:
        work = user_resets.addresses
    sys.stdout.write(await db.write(work, user, has_mail, Clock().now()) + "\n")


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
