"""Finding an authorization server, and refusing what looks like one but must not be trusted."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.discovery import DiscoveryFailed, discover, parse_challenge
from connectors.grant import server_grant
from connectors.http import OAuthHttp
from gateway.loopback import served
from kit.errors import UpstreamFailed
from kit.outbound import OutboundPolicy, parse_networks


class Vendor:
    """A resource and its authorization server; ``documents`` are served by path."""

    def __init__(self) -> None:
        self.url = ""
        self.documents: dict[str, Any] = {}
        self.challenge = ""
        self.asked: list[str] = []

    def build(self, url: str) -> Starlette:
        self.url = url
        return Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        if request.method == "POST":
            return Response(status_code=401, headers={"www-authenticate": self.challenge})
        document = self.documents.get(request.url.path)
        return JSONResponse(document) if document is not None else Response(status_code=404)

    def metadata(self, issuer: str, **changes: Any) -> dict[str, Any]:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "code_challenge_methods_supported": ["S256"],
            **changes,
        }


async def look(vendor: Vendor, **documents: Any) -> Any:
    http = OAuthHttp(OutboundPolicy(parse_networks("loopback")))
    try:
        return await discover(http, f"{vendor.url}/mcp")
    finally:
        await http.close()


@pytest.fixture
async def vendor() -> Any:
    vendor = Vendor()
    async with served(vendor.build):
        yield vendor


async def test_metadata_named_by_the_challenge_comes_first(vendor: Vendor) -> None:
    vendor.challenge = f'Bearer resource_metadata="{vendor.url}/here", scope="read write"'
    vendor.documents = {
        "/here": {
            "resource": f"{vendor.url}/mcp",
            "authorization_servers": [vendor.url],
            "scopes_supported": ["x"],
        },
        "/.well-known/oauth-authorization-server": vendor.metadata(vendor.url),
    }
    server = await look(vendor)
    assert (server.issuer, server.resource) == (vendor.url, f"{vendor.url}/mcp")
    assert server.scopes == ("read", "write")


async def test_without_a_challenge_the_well_known_places_are_tried_path_first(vendor: Vendor) -> None:
    issuer = f"{vendor.url}/tenant"
    vendor.documents = {
        "/.well-known/oauth-protected-resource": {
            "authorization_servers": [issuer],
            "scopes_supported": ["s"],
        },
        "/tenant/.well-known/openid-configuration": vendor.metadata(
            issuer, scopes_supported=["openid", "offline_access"]
        ),
    }
    server = await look(vendor)
    assert server.issuer == issuer
    assert (server.scopes, server.offers_offline_access) == (("s",), True)
    assert server_grant(server).scopes_for(None, ()) == ("s", "offline_access")
    assert server_grant(server).scopes_for(["t"], ["s"]) == ("t", "s", "offline_access")
    assert vendor.asked[1:] == [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/openid-configuration/tenant",
        "/tenant/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"issuer": "https://evil.example"}, "not "),
        ({"code_challenge_methods_supported": ["plain"]}, "S256"),
        ({"code_challenge_methods_supported": None}, "S256"),
        ({"token_endpoint": None}, "token_endpoint"),
        ({"authorization_endpoint": "http://10.0.0.1/a"}, "unusable address"),
        ({"token_endpoint": "http://169.254.169.254/token"}, "unusable address"),
    ],
)
async def test_metadata_that_must_not_be_trusted(
    vendor: Vendor, change: dict[str, Any], complaint: str
) -> None:
    vendor.documents = {
        "/.well-known/oauth-protected-resource": {"authorization_servers": [vendor.url]},
        "/.well-known/oauth-authorization-server": {**vendor.metadata(vendor.url), **change},
    }
    with pytest.raises(UpstreamFailed, match=complaint):
        await look(vendor)


async def test_metadata_of_another_resource_is_refused(vendor: Vendor) -> None:
    vendor.documents = {
        "/.well-known/oauth-protected-resource": {
            "resource": "https://other.example/mcp",
            "authorization_servers": [vendor.url],
        }
    }
    with pytest.raises(DiscoveryFailed, match="another resource"):
        await look(vendor)


async def test_nothing_to_find_is_said_clearly(vendor: Vendor) -> None:
    with pytest.raises(DiscoveryFailed, match="publishes no authorization server metadata"):
        await look(vendor)


@pytest.mark.parametrize(
    ("header", "parameters"),
    [
        ('Bearer realm="x", scope="a b"', {"realm": "x", "scope": "a b"}),
        ("Bearer", {}),
        ("Basic realm=x", {}),
        ("", {}),
        ('bearer error="invalid_token", resource_metadata="https://a/b"',
         {"error": "invalid_token", "resource_metadata": "https://a/b"}),
    ],
)  # fmt: skip
def test_challenges(header: str, parameters: dict[str, str]) -> None:
    assert parse_challenge(header) == parameters
