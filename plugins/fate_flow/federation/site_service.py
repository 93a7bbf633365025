"""The services for the site itself: control (jobs, peers) and status."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from fate_flow.federation.addresses import MAX_REASON_CHARACTERS, check_name, printable
from fate_flow.federation.attempts import Room
from fate_flow.federation.diagnosis import Wait
from fate_flow.federation.peer_calls import check, forward
from fate_flow.federation.peers import PeerTable
from fate_flow.federation.proto import gateway_pb2 as pb
from fate_flow.federation.relay import RelayingService
from fate_flow.federation.state import GatewayState, ref, refs
from fate_flow.version import __version__


class ControlService:
    """Service ``Control`` of the proto: for the site's own API."""

    def __init__(self, state: GatewayState, relay: RelayingService) -> None:
        self._state = state
        self._relay = relay

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> pb.CancelReply:  # noqa: N802
        async with self._state.answering(context, "Cancel"):
            self._state.require_site(context)
            check_name("job id", request.job_id)
            reason = printable(request.reason, MAX_REASON_CHARACTERS) or "no reason given"
            told = self._state.rooms.cancel(request.job_id, reason)
            return pb.CancelReply(tasks=told + self._relay.cancel(request.job_id))
        raise AssertionError("answering() ends the call")

    async def Reset(self, request: pb.ResetRequest, context: Any) -> pb.ResetReply:  # noqa: N802
        async with self._state.answering(context, "Reset"):
            self._state.require_site(context)
            check_name("job id", request.job_id)
            count = self._state.rooms.reset(request.job_id, request.component)
            return pb.ResetReply(components=count)
        raise AssertionError("answering() ends the call")

    async def SetPeers(self, request: pb.SetPeersRequest, context: Any) -> pb.SetPeersReply:  # noqa: N802
        async with self._state.answering(context, "SetPeers"):
            self._state.require_site(context)
            self._state.set_peers(PeerTable.from_json(request.peers))
            return pb.SetPeersReply(peers_digest=self._state.router.peers.digest)
        raise AssertionError("answering() ends the call")

    async def Forward(self, request: pb.ForwardRequest, context: Any) -> pb.CallReply:  # noqa: N802
        async with self._state.answering(context, "Forward"):
            self._state.require_site(context)
            return await forward(self._state, request)
        raise AssertionError("answering() ends the call")

    async def CheckPeer(self, request: pb.CheckPeerRequest, context: Any) -> pb.CheckPeerReply:  # noqa: N802
        async with self._state.answering(context, "CheckPeer"):
            self._state.require_site(context)
            findings = await check(self._state, request.peer, request.bytes)
            report = json.dumps([asdict(finding) for finding in findings])
            return pb.CheckPeerReply(report=report.encode())
        raise AssertionError("answering() ends the call")


class StatusService:
    """Service ``Status`` of the proto: health, open waits, what lies in the mailbox."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def Health(self, request: pb.HealthRequest, context: Any) -> pb.HealthReply:  # noqa: N802
        uptime = time.monotonic() - self._state.started
        return pb.HealthReply(
            incarnation=self._state.incarnation,
            version=__version__,
            uptime=uptime,
            peers_digest=self._state.router.peers.digest,
        )

    async def Waits(self, request: pb.WaitsRequest, context: Any) -> pb.WaitsReply:  # noqa: N802
        async with self._state.answering(context, "Waits"):
            self._state.require_site(context)
            store = self._state.store
            counters = {
                **self._state.counters.values(),
                "memory_bytes": store.memory_used,
                "disk_bytes": store.disk_used,
                "spilled_bytes": store.spilled_bytes,
            }
            waits = [_wait_message(wait) for wait in self._state.waits.list(request.job_id)]
            return pb.WaitsReply(waits=waits, counters=counters)
        raise AssertionError("answering() ends the call")

    async def Mailbox(self, request: pb.MailboxRequest, context: Any) -> pb.MailboxReply:  # noqa: N802
        async with self._state.answering(context, "Mailbox"):
            self._state.require_site(context)
            return pb.MailboxReply(
                entries=[
                    entry
                    for room in self._state.rooms.rooms.values()
                    if room.job_id == request.job_id or not request.job_id
                    for entry in _entries(room)
                ],
                memory_bytes=self._state.store.memory_used,
                disk_bytes=self._state.store.disk_used,
            )
        raise AssertionError("answering() ends the call")


def _entries(room: Room) -> Iterable[pb.MailboxEntry]:
    if room.attempt is None:
        return
    for value, slots in room.attempt.mailbox.entries():
        if value.blob is not None and slots:
            yield pb.MailboxEntry(
                job_id=room.job_id,
                component=room.component,
                attempt=room.attempt.number,
                variable=slots[0].variable,
                tag=slots[0].tag,
                sender=ref(slots[0].sender),
                receivers=refs(slot.receiver for slot in slots),
                size=value.size,
                available=value.blob.available,
                on_disk=value.blob.on_disk,
            )


def _wait_message(wait: Wait) -> pb.Wait:
    return pb.Wait(
        job_id=wait.job_id,
        component=wait.component,
        attempt=wait.attempt,
        waiting=ref(wait.party),
        waited_for=refs(wait.waited_for),
        kind=wait.kind,
        variable=wait.variable,
        tag=wait.tag,
        seconds=wait.seconds,
        deadline=wait.timeout,
        text=wait.text,
    )
