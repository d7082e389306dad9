"""Whom a limit counts as one, wherever it is: the panel, the web chat, the doors that a secret opens."""

from __future__ import annotations

import ipaddress


def subscriber(host: str) -> str:
    """An IPv4 address, or the /64 that an IPv6 subscriber owns and can change addresses in at will.

    What is no address is "unknown", all of it as one.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address.packed, 64), strict=False))
