"""Which addresses Dragon may connect to."""

import pytest

from dragon.engine.network.addresses import AddressRules
from dragon.errors import InvalidSettings

PORTS = (80, 443)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "192.0.1.1",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_a_public_address_is_allowed_on_the_listed_ports_only(address: str) -> None:
    rules = AddressRules.parse((), PORTS)
    assert rules.is_allowed(address, 443)
    assert not rules.is_allowed(address, 22)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "10.255.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.0.10",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
@pytest.mark.parametrize("form", ["{}", "::ffff:{}", "64:ff9b::{}"])
def test_an_ipv4_address_that_is_not_public_is_refused_in_every_form(
    address: str, form: str
) -> None:
    assert not AddressRules.parse((), PORTS).is_allowed(form.format(address), 443)


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::127.0.0.1",
        "64:ff9b:1:7f00:0:100::",
        "100::1",
        "2001::7f00:1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:7f00:1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_ipv6_address_that_is_not_public_is_refused(address: str) -> None:
    assert not AddressRules.parse((), PORTS).is_allowed(address, 443)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "8.8.8.8 ", "[::1]", "::1%lo"],
)
def test_text_that_is_no_plain_ip_address_is_refused_even_if_everything_is_permitted(
    text: str,
) -> None:
    rules = AddressRules.parse(("0.0.0.0/0", "::/0"), PORTS)
    assert rules.is_allowed("127.0.0.1", 443)
    assert not rules.is_allowed(text, 443)


def test_a_scope_id_is_refused_on_a_public_address_too() -> None:
    assert not AddressRules.parse((), PORTS).is_allowed("2606:4700:4700::1111%lo", 443)


@pytest.mark.parametrize(
    ("entry", "address", "port", "is_allowed"),
    [
        ("10.0.0.7", "10.0.0.7", 9999, True),
        ("10.0.0.7", "::ffff:10.0.0.7", 9999, True),
        ("::ffff:10.0.0.7", "::ffff:10.0.0.7", 9999, True),
        ("10.0.0.7", "64:ff9b::10.0.0.7", 443, False),
        ("10.0.0.7", "10.0.0.8", 443, False),
        ("10.0.0.7:9000", "10.0.0.7", 9000, True),
        ("10.0.0.7:9000", "10.0.0.7", 443, False),
        ("10.0.0.0/8", "10.200.0.1", 1, True),
        ("10.0.0.0/8", "11.0.0.1", 1, False),
        ("10.0.0.0/8:9000", "10.200.0.1", 9000, True),
        ("10.0.0.0/8:9000", "10.200.0.1", 9001, False),
        ("fd00::7", "fd00::7", 9000, True),
        ("[fd00::7]", "fd00::7", 9000, True),
        ("[fd00::7]:9000", "fd00:0::7", 9000, True),
        ("[fd00::7]:9000", "fd00::7", 443, False),
        ("fd00::/8", "fd12::1", 9000, True),
        ("fd00::/8:9000", "fd12::1", 9000, True),
        ("[fd00::/8]:9000", "fd12::1", 443, False),
        ("64:ff9b:1::/48", "64:ff9b:1::10.0.0.7", 443, True),
        ("8.8.8.8:22", "8.8.8.8", 22, True),
        ("8.8.8.8:22", "8.8.8.8", 443, True),
    ],
)
def test_an_entry_of_fetch_allow_permits_what_it_names_and_nothing_beside_it(
    entry: str, address: str, port: int, is_allowed: bool
) -> None:
    assert AddressRules.parse((entry,), PORTS).is_allowed(address, port) is is_allowed


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "localhost",
        "example.com:80",
        "10.0.0.7:",
        "10.0.0.7:0",
        "10.0.0.7:65536",
        "10.0.0.7:８０",
        "10.0.0.7:-1",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "127.1",
        "[::1",
        "fe80::1%eth0",
        "http://10.0.0.7",
    ],
)
def test_a_bad_entry_of_fetch_allow_is_named(entry: str) -> None:
    with pytest.raises(InvalidSettings) as failure:
        AddressRules.parse(("10.0.0.7", entry), PORTS)
    assert failure.value.message.startswith(f"fetch_allow: {entry!r} is not an address")
