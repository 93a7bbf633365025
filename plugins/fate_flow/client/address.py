"""Where the server is: argument, environment, or the settings of the site's home."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from fate_flow.errors import InvalidInputError, Problem

ADDRESS_VARIABLE = "FATE_FLOW_ADDRESS"
TOKEN_VARIABLE = "FATE_FLOW_TOKEN"  # noqa: S105
DEFAULT_PORT = 9380
_ALLOWED = "host:port, or http(s)://host:port"


def server_url(address: str | None = None) -> str:
    """``http://host:port`` of the server, without a trailing slash.

    Without ``address``: the environment variable ``FATE_FLOW_ADDRESS``; else the settings of
    the site's home; these give 127.0.0.1:9380 where nothing was set up.

    Raises:
        InvalidInputError: the address cannot be read.
    """
    if address:
        return parse_address(address, "address")
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        return parse_address(given, ADDRESS_VARIABLE)
    from fate_flow.settings import default_home, inspect

    return str(inspect(default_home())[0].http_url)


def parse_address(text: str, where: str = "address") -> str:
    """Make a URL of ``host``, ``host:port``, ``[v6]:port`` or a URL."""
    stripped = text.strip()
    has_scheme = "://" in stripped
    try:
        parts = urlsplit(stripped if has_scheme else f"http://{stripped}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if (
        not host
        or parts.scheme not in ("http", "https")
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not re.fullmatch(r"[\w.:%-]+", host)
    ):
        raise InvalidInputError([Problem(where, f"found {text!r}", _ALLOWED)])
    if port is None and not has_scheme:
        port = DEFAULT_PORT
    shown = f"[{host}]" if ":" in host else host
    suffix = f":{port}" if port is not None else ""
    return f"{parts.scheme}://{shown}{suffix}{parts.path.rstrip('/')}"


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
