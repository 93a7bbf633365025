"""Intersection at the guest."""

from __future__ import annotations

from fate_flow.components.intersection import ecdh, raw, rsa
from fate_flow.components.intersection.component import Intersection


class IntersectionGuest(Intersection):
    """Compares its ids with each host's and decides what is common to all."""

    protocols = {"rsa": rsa.guest, "ecdh": ecdh.guest, "raw": raw.guest}
