"""Firewalls of sites in namespaces: who may open a connection to whom."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from tests.support.site_net import NetSite

_TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def connects(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2.0).close()
    except OSError:
        return False
    return True

with ThreadPoolExecutor(16) as pool:
    print(json.dumps(dict(zip(sys.argv[1:], pool.map(connects, sys.argv[1:])))))
"""


def let_in(site: NetSite, *others: NetSite) -> None:
    """Only these sites may open connections to the site's gateway.

    No others: the site is as one behind a NAT, and only has the connections that it opens.
    """
    net = site.net
    rules = [["-i", "fed0", "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"]]
    for other in others:
        host, _, _ = net.federation_address(other.name).rpartition(":")
        port = str(site.grpc_port)
        rules.append(["-i", "fed0", "-s", host, "-p", "tcp", "--dport", port, "-j", "ACCEPT"])
    rules.append(["-i", "fed0", "-j", "DROP"])
    # The other bridge leads to the test, and is no way around.
    bridge, _, _ = net.management_address(site.name).rpartition(".")
    rules.append(["-i", "man0", "!", "-s", f"{bridge}.254", "-j", "DROP"])
    _iptables(site, "-F", "INPUT")
    for rule in rules:
        _iptables(site, "-A", "INPUT", *rule)


def reached_from(site: NetSite, others: Sequence[NetSite]) -> set[str]:
    """Names of the sites whose gateway takes a TCP connection from here, on either bridge."""
    names = {}
    for other in others:
        if other is not site:
            names[site.net.federation_address(other.name)] = other.name
            names[f"{site.net.management_address(other.name)}:{other.grpc_port}"] = other.name
    prefix = ["ip", "netns", "exec", site.net.namespace(site.name)]
    done = subprocess.run(
        [*prefix, sys.executable, "-S", "-c", _TRY, *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {names[address] for address, connects in json.loads(done.stdout).items() if connects}


def _iptables(site: NetSite, *arguments: str) -> None:
    prefix = ["ip", "netns", "exec", site.net.namespace(site.name), "iptables", "-w"]
    done = subprocess.run([*prefix, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
