"""Intersection at a host."""

from __future__ import annotations

from fate_flow.components.intersection import ecdh, raw, rsa
from fate_flow.components.intersection.component import Intersection


class IntersectionHost(Intersection):
    """Lets the guest compare; never sees the guest's ids but in ``raw``."""

    protocols = {"rsa": rsa.host, "ecdh": ecdh.host, "raw": raw.host}
