"""Where a webhook may go."""

import ipaddress

import pytest

from devices.alerts.addresses import Refused, check, is_public, look_up, place_of
from tests.devices.alerts.servers import resolving


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1", "2002:7f00:1::", "ff02::1", "2001:db8::1",
        "fec0::1", "192.88.99.1", "168.63.129.16", "::ffff:168.63.129.16",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_a_public_address_is_not(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "ftp://hooks.example.com/", "https:///path",
        "https://user:secret@hooks.example.com/", "https://hooks.example.com:22/",
        "https://hooks.example.com:80/", "https://hooks.example.com:99999/", "https://10.0.0.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/",
    ],
)  # fmt: skip
def test_an_address_that_is_wrong_as_it_stands_is_refused(settings, url):
    settings.DEBUG = False
    with pytest.raises(Refused):
        check(url)


def test_a_place_is_as_requests_and_certificates_have_it():
    place = place_of("https://Bücher.example.com./a b?q=ü")
    assert place == (True, "xn--bcher-kva.example.com", 443, "/a%20b?q=%C3%BC")
    assert place_of("https://hooks.example.com:8443").port == 8443


def test_a_host_with_one_private_address_is_refused(monkeypatch):
    resolving(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(Refused, match="is not in the public internet"):
        look_up(place_of("https://hooks.example.com/"))


def test_private_addresses_can_be_allowed(monkeypatch, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    resolving(monkeypatch, ["10.0.0.1"])
    assert look_up(place_of("https://hooks.example.com/")) == ["10.0.0.1"]
