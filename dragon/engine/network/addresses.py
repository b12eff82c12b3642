"""Decides which IP addresses and ports Dragon may connect to."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

from dragon.errors import InvalidSettings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Lists of our own: `ipaddress.is_global` holds multicast, site-local, NAT64 and 6to4 addresses
# for global, and what it says changes from one Python to the next.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host: Linux connects to itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# All that is public lies in here. Outside are loopback, unique local, link-local, site-local and
# multicast addresses, and the IPv4-compatible, IPv4-translated and local NAT64 forms.
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, which embeds IPv4, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds IPv4
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP_MARK = 0x5EFE


class Permission(Struct, frozen=True):
    """One entry of `fetch_allow`: a network and the one port, or None for every port."""

    network: Network
    port: int | None


class AddressRules(Struct, frozen=True):
    """Where connections may go: public addresses on `ports`, and what a permission names."""

    permissions: tuple[Permission, ...]
    ports: frozenset[int]

    @classmethod
    def parse(cls, entries: Iterable[str], ports: Iterable[int]) -> "AddressRules":
        """Rules from the settings `fetch_allow` and `fetch_ports`.

        An entry is an IP address or a CIDR network, followed by `:port` if only one port is
        meant; an IPv6 address with a port stands in brackets. Raises InvalidSettings.
        """
        return cls(tuple(_parse_permission(entry) for entry in entries), frozenset(ports))

    def is_allowed(self, ip_text: str, port: int) -> bool:
        """Whether a socket may connect there. Text that is not an IP address is not allowed."""
        try:
            address = ip_address(ip_text)
        except ValueError:
            return False
        if getattr(address, "scope_id", None) is not None:
            return False
        return self._is_permitted(address, port) or (port in self.ports and _is_public(address))

    def _is_permitted(self, address: Address, port: int) -> bool:
        # A connection to ::ffff:a.b.c.d goes to a.b.c.d over IPv4: permitting one permits both.
        same = {address, getattr(address, "ipv4_mapped", None) or address}
        return any(
            permission.port in (None, port) and any(form in permission.network for form in same)
            for permission in self.permissions
        )


def _parse_permission(entry: str) -> Permission:
    network = _parse_network(entry)
    if network:
        return Permission(network, None)
    host, _, port = entry.rpartition(":")
    network = _parse_network(host)
    if not (network and port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise InvalidSettings(
            f"fetch_allow: {entry!r} is not an address; write an IP address or a network, such as "
            "10.0.0.7, 10.0.0.0/8, 10.0.0.7:9000 or [fd00::7]:9000 (host names cannot be given)"
        )
    return Permission(network, int(port))


def _parse_network(text: str) -> Network | None:
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return None if "%" in text else ip_network(text)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address.ipv4_mapped:
        return _is_public(address.ipv4_mapped)
    if address in _NAT64:
        # Not refused as a whole: on a network without IPv4 this is what DNS answers for a
        # public host that has only an IPv4 address.
        return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address in _PUBLIC_V6
        and not any(address in network for network in _NOT_PUBLIC_V6)
        and not _is_isatap(address)
    )


def _is_isatap(address: IPv6Address) -> bool:
    """Whether the interface half is `[02]00:5efe:a.b.c.d`, a tunnel to that IPv4 address."""
    mark = int(address) >> 32 & 0xFFFF_FFFF
    return mark & ~0x0200_0000 == _ISATAP_MARK
