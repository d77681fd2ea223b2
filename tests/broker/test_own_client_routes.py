"""A developer's own client at an MCP server, over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.broker.token_peers import guarded, token_server
from tests.broker.whole_heddle import refusal, stranger
from tests.serving import Served, heddle

ROBOT = {"type": "client_credentials", "client_id": "robot", "client_secret": "s3cret/&+ü"}
CALL = {"name": "chest/add", "input": {"a": 1, "b": 1}}
VENDOR = """
slug = "{slug}"
display_name = "Vendor"
category = "other"
auth = "client_credentials"
other_auth = {other}
server_url = "{server_url}"
docs_url = "https://example.com"
source = "the test"
[client_credentials]
token_url = "{token_url}"
token_auth = "client_secret_post"
scopes = ["read", "write"]
scope_separator = ","
token_params = {{audience = "urn:{{workspace}}"}}
[config_schema]
type = "object"
required = ["workspace"]
[config_schema.properties.workspace]
type = "string"
"""


async def test_a_client_is_registered_shown_rotated_and_replaced(
    served: Served, admin: httpx.AsyncClient
) -> None:
    async with token_server() as issuer, guarded(issuer) as mcp:
        body = {"name": "chest", "server_url": mcp.url, "auth": {**ROBOT, "scopes": ["notes", "more"]}}
        made = await admin.post("/v1/mcp-servers", json=body)
        assert made.status_code == 201, made.text
        shown = {"type": "client_credentials", "client_id": "robot"}
        assert (made.json()["auth"], made.json()["auth_mode"]) == (shown, "tenant")
        assert issuer.asked[-1]["scope"] == "notes more"
        path = f"/v1/mcp-servers/{made.json()['id']}"
        reads = [await admin.get(path), await admin.get("/v1/mcp-servers"), made]
        assert reads[1].json()["data"] == [reads[0].json()] and reads[0].json()["auth"] == shown
        for secret in (ROBOT["client_secret"], *issuer.given):
            assert all(secret not in read.text for read in reads)
        assert (await admin.post("/v1/tools/call", json=CALL)).json()["is_error"] is False

        issuer.clients["robot"] = "next"
        typo = await admin.patch(path, json={"auth": {"type": "client_credentials", "client_secret": "typo"}})
        assert typo.json()["error"]["param"] == "auth.client_secret" and "typo" not in typo.text
        other = await stranger(served)
        auth = {"type": "client_credentials", "client_secret": "next"}
        assert refusal(await other.patch(path, json={"auth": auth}))[0] == 404
        rotated = await admin.patch(path, json={"auth": auth})
        assert rotated.status_code == 200 and rotated.json()["auth"] == shown, rotated.text
        assert (issuer.asked[-1]["scope"], issuer.proofs[-1]) == ("notes more", "next")
        narrower = await admin.patch(path, json={"auth": {"type": "client_credentials", "scopes": []}})
        assert narrower.status_code == 200 and "scope" not in issuer.asked[-1]
        usual = await admin.patch(path, json={"auth": {"type": "client_credentials", "scopes": None}})
        assert usual.status_code == 200 and issuer.asked[-1]["scope"] == "notes"
        issuer.clients["android"] = "two"
        android = {"type": "client_credentials", "client_id": "android", "client_secret": "two"}
        replaced = await admin.patch(path, json={"auth": {**android, "token_auth": "client_secret_post"}})
        assert replaced.json()["auth"]["client_id"] == "android", replaced.text
        assert issuer.asked[-1]["client_secret"] == "two"
        assert (await admin.patch(path, json={"approval": "always"})).json()["auth"]["client_id"] == "android"

        mcp.accepts = "mine".__eq__
        mine = await admin.patch(path, json={"auth_headers": {"authorization": "Bearer mine"}})
        assert mine.json()["auth"] is None
        assert (await admin.post("/v1/tools/call", json=CALL)).json()["is_error"] is False
        refused = await admin.patch(path, json={"auth": {**auth, "client_secret": "x"}})
        assert refusal(refused)[0] == 400 and refused.json()["error"]["param"] == "auth.client_id"


async def test_end_users_who_have_not_connected_are_served_by_the_developers_client(
    admin: httpx.AsyncClient,
) -> None:
    async with token_server() as issuer, guarded(issuer) as mcp:
        body = {"name": "chest", "server_url": mcp.url, "auth_mode": "either", "auth": ROBOT}
        assert (await admin.post("/v1/mcp-servers", json=body)).status_code == 201
        called = await admin.post("/v1/tools/call", json={**CALL, "end_user_id": "ada"})
        assert called.json()["is_error"] is False, called.text
        assert len(issuer.asked) == 1


async def test_a_client_that_names_its_issuer_is_sent_to_no_other(admin: httpx.AsyncClient) -> None:
    async with token_server() as issuer, token_server() as other, guarded(other, issuer) as mcp:
        auth = {**ROBOT, "issuer": "https://as.example"}
        body: dict[str, Any] = {"name": "chest", "server_url": mcp.url, "auth": auth}
        refused = await admin.post("/v1/mcp-servers", json=body)
        assert refusal(refused)[:2] == (400, "client_credentials_refused")
        assert "bound to https://as.example: nothing was sent" in refused.text
        body["auth"] = {**ROBOT, "issuer": issuer.issuer}
        assert (await admin.post("/v1/mcp-servers", json=body)).status_code == 201
        assert other.asked == [] and len(issuer.asked) == 1


BAD_AUTH: list[tuple[dict[str, Any], str, str]] = [
    ({"auth": {}}, "auth.type", "required"),
    ({"auth": {**ROBOT, "type": "password"}}, "auth.type", "client_credentials"),
    ({"auth": "robot:s3cret"}, "auth", "dictionary"),
    ({"auth": {**ROBOT, "client_id": ""}}, "auth.client_id", "1 character"),
    ({"auth": {**ROBOT, "client_id": "a\nb"}}, "auth.client_id", "pattern"),
    ({"auth": {**ROBOT, "client_id": None}}, "auth.client_id", "the id that your client has"),
    ({"auth": {**ROBOT, "client_secret": None}}, "auth.client_secret", "or token_auth private_key_jwt"),
    ({"auth": {**ROBOT, "client_secret": "a\r\nb"}}, "auth.client_secret", "printable"),
    ({"auth": {**ROBOT, "client_secret": "x" * 4001}}, "auth.client_secret", "4000"),
    ({"auth": {**ROBOT, "token_auth": "none"}}, "auth.token_auth", "private_key_jwt"),
    ({"auth": {**ROBOT, "token_auth": "private_key_jwt"}}, "auth.client_secret", "expected none"),
    ({"auth": {**ROBOT, "scopes": "a b"}}, "auth.scopes", "list"),
    ({"auth": {**ROBOT, "scopes": ["a b"]}}, "auth.scopes.0", "pattern"),
    ({"auth": {**ROBOT, "client_id": None, "issuer": "https://as.example"}}, "auth.client_id", "auth.issuer"),
    ({"auth": ROBOT, "auth_headers": {"authorization": "x"}}, "auth", "either auth or auth_headers"),
    ({"auth": ROBOT, "auth_mode": "per_user"}, "auth", "expected auth_mode tenant or either"),
]


@pytest.mark.parametrize(("change", "param", "told"), BAD_AUTH)
async def test_what_a_client_cannot_be_is_told(
    admin: httpx.AsyncClient, change: dict[str, Any], param: str, told: str
) -> None:
    body = {"name": "chest", "server_url": "https://mcp.example/mcp", **change}
    response = await admin.post("/v1/mcp-servers", json=body)
    error = response.json()["error"]
    assert (response.status_code, error.get("param")) == (400, param), error
    assert told in error["message"]
    assert "s3cret" not in response.text


async def test_a_server_of_end_users_takes_no_client(admin: httpx.AsyncClient) -> None:
    async with token_server() as issuer, guarded(issuer) as mcp:
        body = {"name": "chest", "server_url": mcp.url, "auth_mode": "per_user"}
        made = (await admin.post("/v1/mcp-servers", json=body)).raise_for_status().json()
        refused = await admin.patch(f"/v1/mcp-servers/{made['id']}", json={"auth": ROBOT})
        assert refusal(refused)[0] == 400 and refused.json()["error"]["param"] == "auth"
        assert issuer.asked == []


async def test_a_server_without_an_authorization_server_says_so(admin: httpx.AsyncClient) -> None:
    async with token_server() as issuer, guarded(issuer) as mcp:
        mcp.issuers = []
        body = {"name": "chest", "server_url": mcp.url, "auth": ROBOT}
        assert refusal(await admin.post("/v1/mcp-servers", json=body))[:2] == (502, "oauth_discovery")


async def test_a_vendor_of_the_catalogue_gives_tokens_at_its_token_url(
    sqlite_url: str, tmp_path: Path
) -> None:
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    async with token_server() as issuer, guarded(issuer) as mcp:
        mcp.issuers = ["https://as.example"]  # nobody asks who protects it
        facts = {"server_url": mcp.url, "token_url": f"{issuer.issuer}/token"}
        (catalogue / "chest.toml").write_text(VENDOR.format(slug="chest", other="[]", **facts))
        (catalogue / "box.toml").write_text(
            VENDOR.format(slug="box", other='["oauth2"]', **facts)
            + '[oauth2]\nauthorize_url = "https://as.example/a"\ntoken_url = "https://as.example/t"\n'
        )
        async with heddle(sqlite_url, tmp_path, providers={}, catalog_dir=catalogue) as served:
            admin = await served.client()
            body: dict[str, Any] = {"catalog_slug": "chest", "config": {"workspace": "mine"}}
            for slug in ("chest", "box"):
                without = await admin.post("/v1/mcp-servers", json={**body, "catalog_slug": slug})
                assert without.json()["error"]["param"] == "auth"
                assert "client_id and client_secret" in without.json()["error"]["message"]
            for_users = await admin.post(
                "/v1/mcp-servers", json={"catalog_slug": "chest", "auth_mode": "per_user"}
            )
            assert for_users.json()["error"]["param"] == "auth_mode"
            assert "expected auth_mode tenant" in for_users.json()["error"]["message"]
            made = await admin.post("/v1/mcp-servers", json={**body, "auth": ROBOT})
            assert made.status_code == 201, made.text
            asked = {"grant_type": "client_credentials", "client_id": "robot", "audience": "urn:mine"}
            proof = {"client_secret": ROBOT["client_secret"], "scope": "read,write"}
            assert issuer.asked == [{**asked, **proof}]
            assert (await admin.post("/v1/tools/call", json=CALL)).json()["is_error"] is False
        moved = {**facts, "token_url": "https://as.example/token"}
        (catalogue / "chest.toml").write_text(VENDOR.format(slug="chest", other="[]", **moved))
        async with heddle(sqlite_url, tmp_path, providers={}, catalog_dir=catalogue) as served:
            admin = await served.client()
            called = (await admin.post("/v1/tools/call", json=CALL)).json()
            assert called["is_error"] and "nothing was sent" in str(called["output"])
            assert len(issuer.asked) == 1
