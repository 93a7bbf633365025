"""The gateway's process: ``python -m fate_flow.federation.gateway --home DIR``.

It passes values between the tasks of the parties without looking into them, knows which
attempt of a component is valid, and can tell who waits for whom. It keeps no state across a
restart: tasks notice, and compute the component they are in anew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from fate_flow import settings as site_settings
from fate_flow.errors import ConfigurationError, FateFlowError
from fate_flow.federation import rpc
from fate_flow.federation.channel import Tls, server_options, site_tls
from fate_flow.federation.handshakes import audited_stderr
from fate_flow.federation.identity import SiteIdentity
from fate_flow.federation.lease import held
from fate_flow.federation.peer_service import PeerService
from fate_flow.federation.relay import RelayingService
from fate_flow.federation.routing import Router
from fate_flow.federation.service import GatewayService
from fate_flow.federation.site_service import ControlService, StatusService
from fate_flow.federation.state import GatewayState, read_peers
from fate_flow.federation.store import BlobStore
from fate_flow.version import __version__

log = logging.getLogger("fate_flow.gateway")

LOG_FORMAT = (
    "[%(levelname)s] [%(asctime)s] [%(process)s:%(thread)s] - "
    "%(filename)s[line:%(lineno)d]: %(message)s"
)
_WATCHDOG_SECONDS = 30.0
_LONG_WAIT_SECONDS = 60.0
_STOP_GRACE_SECONDS = 1.0
_RENEWAL_SECONDS = 86_400.0


@dataclass
class Gateway:
    """A running server.

    Attributes:
        port: the bound port (of interest when 0 was asked for).
    """

    state: GatewayState
    server: Any
    port: int

    @classmethod
    async def start(cls, state: GatewayState, address: str, tls: Tls | None = None) -> Gateway:
        """Bind and serve.

        Args:
            tls: one authority for all; None: what the state's identity and peers ask for.

        Raises:
            ConfigurationError: the address cannot be bound.
        """
        server = grpc.aio.server(options=server_options())
        relay = RelayingService(state, GatewayService(state))
        server.add_generic_rpc_handlers(
            (
                rpc.handler("Gateway", relay),
                rpc.handler("Control", ControlService(state, relay)),
                rpc.handler("Status", StatusService(state)),
                rpc.handler("Peer", PeerService(state)),
            )
        )
        try:
            if tls is not None:
                port = server.add_secure_port(address, tls.server_credentials())
            elif state.access.identity is not None:
                port = server.add_secure_port(address, state.access.credentials())
            else:
                port = server.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if not port:
            raise ConfigurationError(
                f"the gateway cannot bind {address}",
                remedy="Another process may use the port; change IP or GRPC_PORT, or end it",
            )
        # Not before the port is ours: another gateway's values may lie in the folder.
        try:
            state.store.open()
        except OSError as error:
            raise ConfigurationError(
                f"the gateway cannot use its folder for values: {error.strerror}",
                remedy="Another gateway may run with this home, or the folder is not writable",
            ) from None
        await server.start()
        state.open_tunnels(_own_address(address, port))
        return cls(state, server, port)

    async def stop(self) -> None:
        self.state.stopping = True
        await self.server.stop(_STOP_GRACE_SECONDS)
        if self.state.tunnel is not None:
            await self.state.tunnel.close()
        await self.state.channels.close()
        self.state.store.close()


def _own_address(bound: str, port: int) -> str:
    """Where this machine reaches what listens at ``bound``."""
    host = bound.rpartition(":")[0]
    everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104
    return f"{everywhere.get(host, host)}:{port}"


def state_of(settings: site_settings.Settings) -> GatewayState:
    """The state of a site's gateway.

    Raises:
        ConfigurationError: no secret, or PARTIES or the identity cannot be read.
    """
    folder = settings.storage_root / "gateway"
    store = BlobStore(folder / "values", settings.MAILBOX_MEMORY_BYTES, settings.MAILBOX_DISK_BYTES)
    peers_file = folder / "peers.json"
    return GatewayState(
        settings.secret(),
        store,
        _router(settings, peers_file),
        peer_grace=float(settings.PEER_GRACE),
        identity=SiteIdentity.load(settings) if SiteIdentity.exists(settings) else None,
        tls=site_tls(settings) is not None,
        api_url=settings.http_url,
        peers_file=peers_file,
    )


def _router(settings: site_settings.Settings, peers_file: Path) -> Router:
    """Own parties and peers; without peers, when their list cannot be used.

    The site's own jobs shall run all the same; the API sends the list again, and says what is
    wrong with it.
    """
    alone = Router.from_setting(settings.PARTIES)
    try:
        return Router(alone.hosted, read_peers(peers_file))
    except ConfigurationError as error:
        log.error("this gateway starts without peers: %s", error)
        return alone


def _renew(state: GatewayState) -> None:
    """A new certificate when the old one has not long to go."""
    try:
        if state.identity is not None and state.identity.renew():
            state.access.renewed()
            state.channels.renewed()
    except FateFlowError as error:
        log.error("the gateway's certificate cannot be renewed: %s", error)


async def _watch(state: GatewayState) -> None:
    """Writes about waits that last long, once each; forgets what nobody asks about."""
    renewal = time.monotonic() + _RENEWAL_SECONDS
    while True:
        await asyncio.sleep(_WATCHDOG_SECONDS)
        state.rooms.purge()
        if time.monotonic() > renewal:
            renewal = time.monotonic() + _RENEWAL_SECONDS
            _renew(state)
        for wait in state.waits.list():
            if wait.seconds >= _LONG_WAIT_SECONDS and not wait.reported:
                wait.reported = True
                log.info("job %s: %s is %s", wait.job_id, wait.party, wait.text)


async def serve(
    settings: site_settings.Settings, tls: Tls | None = None, *, standby: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT; a standby begins when the other gateway has ended."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    lease = settings.storage_root / "gateway" / "lease.json"
    async with held(lease, stopped, standby=standby) as may_serve:
        if may_serve:
            await _serve(settings, tls, stopped)


async def _serve(settings: site_settings.Settings, tls: Tls | None, stopped: asyncio.Event) -> None:
    state = state_of(settings)
    _renew(state)
    gateway = await Gateway.start(state, f"{settings.gateway_ip}:{settings.GRPC_PORT}", tls)
    log.info(
        "gateway %s of %s listens on %s:%d, incarnation %s",
        __version__,
        settings.home,
        settings.gateway_ip,
        gateway.port,
        gateway.state.incarnation,
    )
    if tls is None and state.access.identity is None and not settings.is_loopback:
        log.warning("connections are not encrypted, and other machines can reach %s", settings.IP)
    watchdog = asyncio.ensure_future(_watch(gateway.state))
    await stopped.wait()
    watchdog.cancel()
    await gateway.stop()
    log.info("gateway stopped")


def _raise_file_limit() -> None:
    """Every task is a connection; the usual soft limit of 1024 files is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fate_flow.federation.gateway", description="The gateway of a site."
    )
    parser.add_argument("--home", help="the site's folder; default: $FATE_FLOW_HOME, ~/fate_flow")
    parser.add_argument(
        "--standby", action="store_true", help="wait until the site's other gateway has ended"
    )
    options = parser.parse_args(arguments)
    _raise_file_limit()
    with audited_stderr() as stream:
        logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=stream)
        try:
            asyncio.run(serve(site_settings.load(options.home), standby=options.standby))
        except FateFlowError as error:
            stream.write(f"{error}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
