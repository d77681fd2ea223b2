"""Each built-in of a vendor with plain OAuth 2 acts with the end user's own token, and renews it."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx

from broker.builtins.catalog import find
from broker.calls import NeedsConnection, ToolScope
from connectors.catalog import Catalog
from connectors.client_auth import ClientIdentity
from kit.errors import InvalidRequest
from tests.broker.builtins.exchange import Exchange
from tests.broker.builtins.work_items import EXCHANGES
from tests.broker.rig import ACME, Rig

ADA = ToolScope(ACME, "ada")
HUBSPOT = "https://api.hubapi.com/oauth/2026-03/token"
NOTION = "https://api.notion.com/v1/oauth/token"
LINEAR = "https://api.linear.app/oauth/token"
AIRTABLE = "https://airtable.com/oauth2/v1/token"
BASIC = "Basic " + base64.b64encode(b"acme-app:acme-secret").decode()

TOKENS: dict[str, tuple[str, dict[str, Any]]] = {
    "hubspot-contact": (HUBSPOT, {"token_type": "bearer", "hub_id": 62515, "scopes": ["oauth"]}),
    "notion-page": (NOTION, {"token_type": "bearer", "bot_id": "b1", "workspace_name": "Ada's Notion"}),
    "notion-search": (NOTION, {"token_type": "bearer", "bot_id": "b1", "workspace_name": "Ada's Notion"}),
    "linear-issue": (LINEAR, {"token_type": "Bearer", "expires_in": 86_399, "scope": "read,issues:create"}),
    "airtable-record": (AIRTABLE, {"token_type": "Bearer", "expires_in": 3_600, "refresh_expires_in": 1}),
}
"""Where each vendor gives out tokens, and what it says with them."""

ASKED = {
    "hubspot-contact": ("app.hubspot.com", "oauth crm.objects.contacts.read crm.objects.contacts.write"),
    "notion-page": ("api.notion.com", None),
    "notion-search": ("api.notion.com", None),
    "linear-issue": ("linear.app", "read,issues:create"),
    "airtable-record": ("airtable.com", "data.records:read data.records:write"),
}
"""Where each vendor is asked for consent, and for what."""

acting = pytest.mark.parametrize(
    "exchange",
    [exchange for exchange in EXCHANGES if find(exchange.provider).slug in TOKENS],
    ids=lambda exchange: exchange.provider,
)


async def registered(rig: Rig, exchange: Exchange) -> str:
    """The tool for end users, and the account's client at the vendor; the connector's name."""
    builtin = find(exchange.provider)
    config = {name: value for name, value in exchange.config.items() if name not in builtin.secret_fields}
    await rig.broker.builtins.create(
        ACME, builtin.provider, {"name": "tool"}, auth_mode="per_user", config=config
    )
    target = await rig.sessions.registry.get(ACME, builtin.connector or "")
    authority, usual = await rig.sessions.consents.authority(target)
    await rig.sessions.consents.clients.store.put_account_client(
        ACME, target.name, authority=authority, identity=ClientIdentity("acme-app", usual, "acme-secret")
    )
    return target.name


async def consented(rig: Rig, connect_url: str) -> httpx.URL:
    """Ada consents at the vendor, which sends her back with a code; where she consented."""
    row, target = await rig.sessions.look_up(connect_url.rpartition("/")[2])
    there = httpx.URL(await rig.sessions.authorize(row, target, "this browser"))
    end = await rig.sessions.finish(
        state=there.params["state"], browser="this browser", code="c0de", error=None, iss=None
    )
    assert end.status == "connected", end.problem
    return there


def sent(request: httpx.Request) -> dict[str, str]:
    """What a token endpoint was sent, whichever way."""
    if request.headers["content-type"] == "application/json":
        body: dict[str, str] = json.loads(request.content)
        return body
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


@acting
async def test_an_end_user_consents_and_the_tool_acts_as_them(rig: Rig, exchange: Exchange) -> None:
    slug = find(exchange.provider).slug
    token_url, words = TOKENS[slug]
    connector = await registered(rig, exchange)
    asked = await rig.ask("tool", exchange.given, ADA)
    assert isinstance(asked, NeedsConnection) and asked.connector == connector
    tokens = [
        {**words, "access_token": f"adas-{number}", "refresh_token": f"again-{number}"} for number in (1, 2)
    ]
    with respx.mock() as vendor:
        endpoint = vendor.post(token_url).mock(
            side_effect=[httpx.Response(200, json=given) for given in tokens]
        )
        api = vendor.route(url=exchange.url).mock(
            side_effect=[
                httpx.Response(exchange.status, json=exchange.answer),
                httpx.Response(401, json=exchange.refusal),
                httpx.Response(exchange.status, json=exchange.answer),
            ]
        )
        there = await consented(rig, asked.connect_url)
        first = await rig.call("tool", exchange.given, ADA)
        renewed = await rig.call("tool", exchange.given, ADA)
    assert (there.host, there.params.get("scope")) == ASKED[slug]
    assert (first.is_error, first.output) == (False, exchange.output)
    assert (renewed.is_error, renewed.output) == (False, exchange.output)
    bearers = [call.request.headers["authorization"] for call in api.calls]
    assert bearers == ["Bearer adas-1", "Bearer adas-1", "Bearer adas-2"]
    code, refresh = (sent(call.request) for call in endpoint.calls)
    assert (code["grant_type"], code["code"]) == ("authorization_code", "c0de")
    assert (refresh["grant_type"], refresh["refresh_token"]) == ("refresh_token", "again-1")
    assert ("code_challenge" in there.params) == ("code_verifier" in code)
    for call in endpoint.calls:
        proof = call.request.headers.get("authorization") or sent(call.request)["client_secret"]
        assert proof in {BASIC, "acme-secret"}


@acting
async def test_another_end_user_is_asked_to_connect_their_own_account(rig: Rig, exchange: Exchange) -> None:
    await registered(rig, exchange)
    asked = await rig.ask("tool", exchange.given, ADA)
    assert isinstance(asked, NeedsConnection)
    token_url, words = TOKENS[find(exchange.provider).slug]
    with respx.mock() as vendor:
        vendor.post(token_url).mock(return_value=httpx.Response(200, json={**words, "access_token": "adas"}))
        await consented(rig, asked.connect_url)
        ben = await rig.ask("tool", exchange.given, ToolScope(ACME, "ben"))
    assert isinstance(ben, NeedsConnection)
    assert urlsplit(ben.connect_url).path != urlsplit(asked.connect_url).path


async def test_a_tool_whose_vendor_nobody_can_connect_is_not_registered_for_end_users(rig: Rig) -> None:
    rig.sessions.registry.catalog = Catalog({})
    with pytest.raises(InvalidRequest, match="end users cannot connect linear-api for this tool here"):
        await rig.broker.builtins.create(ACME, "linear-issue", {"name": "tool"}, auth_mode="per_user")
