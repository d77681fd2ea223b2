"""Tenant-chosen addresses reach only what the operator allows, however they are written."""

import ipaddress

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from gateway.loopback import served
from kit.errors import InvalidRequest
from kit.outbound import BlockedAddress, OutboundPolicy, guarded_client, parse_networks

NOTHING_PRIVATE = OutboundPolicy()
LOOPBACK = OutboundPolicy(parse_networks("loopback"))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "fc00::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_private_addresses_are_not_allowed(address: str) -> None:
    assert not NOTHING_PRIVATE.allows(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses_are(address: str) -> None:
    assert NOTHING_PRIVATE.allows(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://user:pass@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "https://",
        "https://example.com:notaport/",
        "//example.com/",
        "",
    ],
)
def test_urls_that_could_never_be_called_are_refused_at_registration(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        NOTHING_PRIVATE.check_url(url, param="webhook_url")
    assert refusal.value.param == "webhook_url"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost/", "https://127.0.0.1/"])
def test_loopback_is_for_those_who_allow_it(url: str) -> None:
    LOOPBACK.check_url(url, param="url")


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]", "0x7f.1"]
)
async def test_an_address_in_disguise_is_caught_where_the_connection_is_made(host: str) -> None:
    async with guarded_client(NOTHING_PRIVATE, timeout_s=2) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await client.get(f"http://{host}:9/")


async def test_a_name_that_resolves_privately_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def rebinding(*_args: object, **_kwargs: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebinding)
    with pytest.raises(BlockedAddress):
        await NOTHING_PRIVATE.resolve("rebind.example", 80)


async def test_redirects_are_not_followed() -> None:
    app = Starlette(
        routes=[
            Route("/", lambda _request: RedirectResponse("http://169.254.169.254/")),
            Route("/ok", lambda _request: PlainTextResponse("fine")),
        ]
    )
    async with served(lambda _: app) as url, guarded_client(LOOPBACK) as client:
        assert (await client.get(url)).status_code == 307
        assert (await client.get(f"{url}/ok")).text == "fine"


@pytest.mark.parametrize("text", ["everything", "10.0.0.0/99", "10.0.0.1/8"])
def test_bad_networks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_networks(text)
