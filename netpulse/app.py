"""The composition root: builds every part, hands them to each other, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from netpulse import __version__
from netpulse.channels.carrier import carrier_of
from netpulse.config import Config, Loaded, Secrets
from netpulse.crypto import passwords
from netpulse.crypto.keys import KeyTrouble, Masters
from netpulse.crypto.links import Links
from netpulse.crypto.lost import LostDigester, LostLinks, LostVault
from netpulse.crypto.tokens import Digester
from netpulse.crypto.vault import LINKS, STORED_TOKENS
from netpulse.egress.connect import Egress
from netpulse.engine import garbage, memory, systemd
from netpulse.engine.clock import Clock
from netpulse.engine.engine import Engine
from netpulse.log import announce, close_streams, configure, refuse
from netpulse.model.time import rfc3339
from netpulse.model.user import Actor
from netpulse.probes import handshakes
from netpulse.probes.handshakes import HANDSHAKES
from netpulse.rules.addresses import AddressPolicy
from netpulse.storage import directory, keyless, restore, rotation, users
from netpulse.storage.db import Database
from netpulse.storage.errors import StartRefused, StorageTrouble
from netpulse.storage.lock import ROTATION, DataLock
from netpulse.storage.raw import Raw
from netpulse.web import accounts, pages
from netpulse.web.certificate import Unusable
from netpulse.web.house import House
from netpulse.web.listening import CannotListen, PortTaken, probe_port, serve_embedded
from netpulse.web.pages import templates
from netpulse.web.rates import Rates
from netpulse.web.server import build_app
from netpulse.web.setup_token import SetupToken
from netpulse.web.tls import Tls
from netpulse.web.tokens import Signer

log = logging.getLogger(__name__)

FROZEN_SECONDS = 60.0
"""An event loop that stands still this long ends the process: a service manager starts another."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the loop: a tenth of the default keeps the loop
under a millisecond beside a busy thread."""


class AdminRefused(Exception):
    """NETPULSE_ADMIN_* cannot be used; the text is one line for the operator."""


def serve(loaded: Loaded, *, degraded: bool = False) -> int:
    """Run NetPulse until it is told to stop; `degraded`: even where its encryption key is not here.

    Exit status: 0 stopped on request, 1 refused to start (one line on standard error says why).
    """
    configure(loaded.config.log.level, loaded.config.log.format)
    os.umask(0o077)
    sys.setswitchinterval(SWITCH_SECONDS)
    memory.few_heaps(handshakes.THREADS)
    HANDSHAKES.start()
    garbage.Watch()
    with contextlib.suppress(OSError, ValueError):  # standard error may be closed
        faulthandler.enable()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(loaded, degraded=degraded))
    except (StartRefused, KeyTrouble, Unusable, PortTaken, CannotListen, AdminRefused) as refusal:
        refuse(str(refusal))
        return 1
    except StorageTrouble as trouble:
        # Only the start lets it through: what runs lives with it.
        refuse(f"cannot start: {trouble}")
        return 1
    finally:
        close_streams()
    return 0


async def _run(loaded: Loaded, *, degraded: bool) -> None:
    config = loaded.config
    data = Path(config.storage.data_dir)
    tls = Tls.of(config.server)
    directory.prepare(data)
    with DataLock.acquire(data):
        if restore.is_under_way(data):
            # Nobody may change the key of what is being exchanged.
            with DataLock.acquire(data, ROTATION):
                restore.finish(data)
            log.warning("a restore that was interrupted is finished now")
        restore.finish(data)
        address = probe_port(config.server.host, config.server.port)
        async with contextlib.AsyncExitStack() as stack:
            db = await _open(data, loaded.secrets, degraded=degraded)
            stack.push_async_callback(db.close)
            house = await _build(config, loaded.secrets, data, address, db, stack)
            await _serve(house, address, tls)


async def _open(data: Path, secrets: Secrets, *, degraded: bool) -> Database:
    """Open the main file, and say what there is to say of its key."""
    masters = Masters(secrets.encryption_key or None, data / directory.KEY)
    had_data = directory.has_data(data)
    db = await keyless.opened(data, masters, degraded=degraded)
    if db.vault.is_lost:
        return db
    if degraded and had_data:
        log.warning("the encryption key fits: --degraded changes nothing, leave it out")
    await db.write(rotation.note_source, from_environment=masters.from_environment)
    if await db.read(rotation.record) is not None or masters.following() is not None:
        log.warning(
            "a change of the encryption key was interrupted: run `netpulse key rotate` to finish it"
        )
    return db


async def _build(
    config: Config,
    secrets: Secrets,
    data: Path,
    address: str,
    db: Database,
    stack: contextlib.AsyncExitStack,
) -> House:
    """Build the parts; `stack` closes them in the opposite order."""
    vault, public_url = db.vault, config.server.public_url
    raw = Raw(data)
    stack.push_async_callback(raw.close)
    clock = Clock()
    await _first_administrator(db, secrets, clock)
    egress = Egress(AddressPolicy(own=own_addresses(address, config.server.port)))
    stack.push_async_callback(egress.close)
    carrier = carrier_of(config, secrets, egress)
    if isinstance(vault, LostVault):
        links: Links = LostLinks(public_url)
        digester: Digester = LostDigester()
        # Sign-ins end with the process.
        sign_ins = Digester(vault.derived(STORED_TOKENS))
    else:
        links = Links(vault.kept(LINKS), public_url)
        digester = sign_ins = Digester(vault.kept(STORED_TOKENS))
    engine = Engine(
        db,
        raw,
        egress,
        clock,
        version=__version__,
        raw_days=config.retention.raw_days,
        carrier=carrier,
        links=links,
        frozen_seconds=FROZEN_SECONDS,
    )
    needed = await db.read(users.count) == 0
    return House(
        config=config,
        db=db,
        raw=raw,
        engine=engine,
        egress=egress,
        carrier=carrier,
        links=links,
        clock=clock,
        signer=Signer(
            secrets.jwt_secret.encode() or functools.partial(vault.derived, "access-tokens")
        ),
        digester=digester,
        sign_ins=sign_ins,
        setup_token=SetupToken.open(data / "setup-token", needed=needed),
        version=__version__,
        rates=Rates(config.limits),
    )


async def _serve(house: House, address: str, tls: Tls | None) -> None:
    """Watch and answer until a signal asks to stop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, house.stopping.set)
    loop.add_signal_handler(signal.SIGHUP, _hang_up, house, tls, _terminals())
    await house.engine.start()
    try:
        server = asyncio.create_task(
            serve_embedded(
                build_app(house, pages.error_page),
                address,
                house.config.server.port,
                house.stopping,
                tls,
                house.clock.now,
            ),
            name="server",
        )
        warming = asyncio.create_task(templates.warm(house.stopping), name="templates")
        settling = asyncio.create_task(garbage.settle(), name="garbage")
        _announce(house, address, tls)
        systemd.notify("READY=1")
        stopping = asyncio.create_task(house.stopping.wait(), name="stopping")
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        systemd.notify("STOPPING=1")
        house.stopping.set()
        settling.cancel()
        await stopping
        # An answer under way may finish beside the engine's own stop.
        await asyncio.gather(server, warming, house.engine.stop())
    finally:
        house.stopping.set()
        await house.engine.stop()


def _terminals() -> frozenset[int]:
    """Return which of the standard streams are a terminal, as long as it is there."""
    return frozenset(number for number in (0, 1, 2) if os.isatty(number))


def _hang_up(house: House, tls: Tls | None, terminals: frozenset[int]) -> None:
    """Take SIGHUP: of a terminal that was closed as the wish to stop, else as that to look at the
    certificate again (`systemctl reload`)."""
    if terminals - _terminals():
        house.stopping.set()
    elif tls is not None:
        tls.again.set()
    else:
        log.info("SIGHUP: without a certificate of our own there is nothing to read again")


def own_addresses(address: str, port: int) -> frozenset[tuple[str, int]]:
    """Return where a server that listens on `address` (numeric) is reached from this machine.

    A wildcard is reached by every address of the machine; NetPulse must not check itself.
    """
    if not ipaddress.ip_address(address).is_unspecified:
        return frozenset({(address, port)})
    import psutil  # only who listens everywhere needs it, for this

    found = {(address, port)}
    for interface in psutil.net_if_addrs().values():
        for one in interface:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                # A link-local address carries its interface: fe80::1%eth0.
                found.add((one.address.partition("%")[0], port))
    return frozenset(found)


async def _first_administrator(db: Database, secrets: Secrets, clock: Clock) -> None:
    """Make the first administrator that the environment names, only while no user exists."""
    if not secrets.admin_email or await db.read(users.count) > 0:
        return
    email = accounts.normal_email(secrets.admin_email)
    if email is None:
        raise AdminRefused(f"NETPULSE_ADMIN_EMAIL: {secrets.admin_email!r} is no email address")
    problem = passwords.policy_problem(secrets.admin_password, email=email)
    if problem is not None:
        raise AdminRefused(f"NETPULSE_ADMIN_PASSWORD cannot be used: {problem}")
    hashed = await passwords.hash_password(secrets.admin_password)
    with contextlib.suppress(accounts.NotFirst):
        await db.write(
            accounts.found,
            email=email,
            password_hash=hashed,
            org_name=email.rpartition("@")[2],
            actor=Actor(kind="system", label="environment"),
            now=clock.now(),
            first=True,
        )


def _announce(house: House, address: str, tls: Tls | None) -> None:
    """Print what to open, and how to get in and reach it."""
    server = house.config.server
    numeric = ipaddress.ip_address(address)
    here = address
    if numeric.is_unspecified:
        here = "127.0.0.1" if numeric.version == 4 else "::1"
    host = f"[{here}]" if ":" in here else here
    scheme = "http" if tls is None else "https"
    base = server.public_url.rstrip("/") or f"{scheme}://{host}:{server.port}"
    lines = [f"NetPulse {house.version} is watching."]
    if house.db.vault.is_lost:
        lines = [
            f"NetPulse {house.version} is watching WITHOUT ITS ENCRYPTION KEY, and tells nobody.",
            "  Put the right key back and start it again: what waits is told then.",
        ]
    if house.setup_token.value is not None:
        lines += [
            f"  Open         {base}/setup",
            f"  Setup token  {house.setup_token.value}",
        ]
    else:
        lines.append(f"  Open         {base}")
    if tls is not None:
        until = rfc3339(tls.pair.not_after)[:10]
        lines.append(
            f"  Certificate  {', '.join(tls.pair.names) or 'without names'}, until {until}"
        )
    if numeric.is_loopback:
        lines += [
            "  It answers on this machine only. To open it from yours:",
            f"    ssh -L {server.port}:{host}:{server.port} {_login()}",
        ]
        if tls is None:
            lines += [
                "  To let others in: --host 0.0.0.0 with TLS, or a reverse proxy in front of it",
                "  (docs/operating.md).",
            ]
        else:
            lines.append("  To let others in: --host 0.0.0.0")
    announce("\n".join(lines) + "\n")


def _login() -> str:
    return f"{os.environ.get('USER') or 'you'}@{socket.gethostname()}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the maker of uvloop's event loop where there is one, else None: asyncio's own."""
    try:
        import uvloop
    except ImportError:
        log.info("uvloop is not installed; the event loop is asyncio's own")
        return None
    return uvloop.new_event_loop
