"""Who may speak to /mcp, from which pages, and how much at once."""

import asyncio
import json
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request

from gateway.mcp_server.origins import Origins
from kit.errors import PermissionDenied
from tests.gateway.mcp_server.rig import Mall, client, open_session, request, until
from tests.serving import ADMIN_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")
PING = request("ping", 1)
ENVELOPE = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}


async def test_every_way_in_needs_a_key(shared_mall: Mall) -> None:
    accept = {"accept": "application/json, text/event-stream"}
    async with httpx.AsyncClient(base_url=shared_mall.shop.heddle.url, headers=accept, verify=False) as http:
        for headers in ({}, {"authorization": "Bearer ak_live_unknown"}, {"x-api-key": "no"}):
            for modern in ({}, {"mcp-protocol-version": "2026-07-28"}):
                for method in ("POST", "GET", "DELETE"):
                    answer = await http.request(method, "/mcp", json=PING, headers={**headers, **modern})
                    assert answer.status_code == 401, (method, headers)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    assert answer.headers["x-request-id"]


async def test_a_revoked_key_ends_its_session(shared_mall: Mall) -> None:
    minted = (await shared_mall.admin.post("/v1/keys", json={"name": "k", "scope": "standard"})).json()
    async with shared_mall.http(minted["secret"]) as http:
        session = await open_session(http)
        (await shared_mall.admin.delete(f"/v1/keys/{minted['id']}")).raise_for_status()
        async with asyncio.timeout(10):
            while (answer := await http.post("/mcp", json=PING, headers=session)).status_code != 401:
                await asyncio.sleep(0.1)
    assert answer.json()["error"]["code"] == "key_revoked"


async def test_tools_are_those_of_the_keys_account_and_end_user(shared_mall: Mall) -> None:
    await shared_mall.notes_known()
    any_user, bound = await shared_mall.key(), await shared_mall.key(end_user_id="ada")
    twin = (await shared_mall.admin.post("/v1/keys", json={"name": "twin", "mode": "test"})).json()["secret"]
    shown: dict[str, set[str]] = {}
    for name, key, headers in (
        ("nobody", any_user, {}),
        ("named", any_user, {"x-heddle-end-user-id": "zoë".encode().decode("latin-1")}),
        ("bound", bound, {}),
        ("another account", twin, {}),
    ):
        body = {"accept": "application/json, text/event-stream", "x-api-key": key}
        async with httpx.AsyncClient(
            base_url=shared_mall.shop.heddle.url, headers=body, verify=False
        ) as http:
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = await http.post("/mcp", json=request("tools/list", 1), headers=raw)  # type: ignore[arg-type]
        shown[name] = {
            part for part in ("toolbox__add", "notes__add_note", "search__help") if part in answer.text
        }
    assert shown == {
        "nobody": {"toolbox__add", "search__help"},
        "named": {"toolbox__add", "notes__add_note", "search__help"},
        "bound": {"toolbox__add", "notes__add_note", "search__help"},
        "another account": {"search__help"},  # the operator's are everybody's
    }


async def test_a_body_beyond_the_limit_is_refused(shared_mall: Mall) -> None:
    async with shared_mall.http() as http:
        large = request("tools/call", 1, name="toolbox__add", arguments={"a": "x" * (33 * 1024 * 1024)})
        answer = await http.post("/mcp", json=large)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"7", b'{"jsonrpc":"2.0"}', b'{"jsonrpc":"1.0","id":1,"method":"ping"}']
)
async def test_what_is_no_message_is_refused(shared_mall: Mall, body: bytes) -> None:
    for modern in ({}, {"mcp-protocol-version": "2026-07-28"}, {"mcp-protocol-version": "1999-01-01"}):
        async with shared_mall.http(**modern) as http:
            answer = await http.post("/mcp", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"]


async def test_blanks_around_a_header_are_no_part_of_it(shared_mall: Mall) -> None:
    """The specification mirrors the tool's name in a header, which must then equal the body's."""
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in ENVELOPE.items()}
    call = request("tools/call", 1, name="toolbox__add", arguments={"a": 1, "b": 2}, _meta=meta)
    body = json.dumps(call)
    address = urlsplit(shared_mall.url)
    head = (
        f"POST /mcp HTTP/1.1\r\nhost: {address.netloc}\r\nx-api-key: {ADMIN_KEY}\r\nconnection: close\r\n"
        "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n"
        "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: \t toolbox__add \t \r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write((head + body).encode())
    answer = (await asyncio.wait_for(reader.read(), 20)).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200") and '"structuredContent":{"result":3}' in answer


async def test_a_client_of_an_older_revision_that_just_goes_away_ends_its_call(shared_mall: Mall) -> None:
    box = shared_mall.box
    called, cancelled = box.calls.count("slow"), len(box.cancelled)
    async with shared_mall.http() as http:
        body = request("tools/call", 1, name="toolbox__slow", arguments={"seconds": 60})
        call = asyncio.create_task(http.post("/mcp", json=body))
        await until(lambda: box.calls.count("slow") > called)
        call.cancel()
    await until(lambda: len(box.cancelled) > cancelled)


async def test_a_batch_of_clients_at_once(shared_mall: Mall) -> None:
    async def one(number: int) -> int:
        async with client(shared_mall, mode="legacy" if number % 2 else "2026-07-28") as connected:
            result = await connected.call_tool("toolbox__add", {"a": number, "b": 1})
            assert result.structured_content is not None
            return int(result.structured_content["result"])

    assert await asyncio.gather(*map(one, range(12))) == list(range(1, 13))


def page(origin: str | None, host: str = "localhost:8787") -> Request:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return Request({"type": "http", "method": "POST", "path": "/mcp", "headers": headers})


@pytest.mark.parametrize(
    ("allowed", "host", "origin", "named", "refusal"),
    [
        (["*"], "127.0.0.1", None, "evil.test", None),  # no page
        (["*"], "127.0.0.1", "http://localhost:6274", "localhost:8787", None),
        (["*"], "127.0.0.1", "https://app.test", "127.0.0.1:8787", None),
        (["*"], "127.0.0.1", "http://evil.test:8787", "evil.test:8787", "host_not_allowed"),
        (["*"], "0.0.0.0", "https://app.test", "anything.test", None),
        (["https://app.test"], "0.0.0.0", "https://app.test", "heddle.test", None),
        (["https://app.test"], "0.0.0.0", "https://heddle.test", "heddle.test", None),
        (["https://app.test"], "0.0.0.0", "https://evil.test", "heddle.test", "origin_not_allowed"),
        (["https://app.test"], "0.0.0.0", "null", "heddle.test", "origin_not_allowed"),
        (["https://app.test"], "127.0.0.1", "https://app.test", "[oops", "host_not_allowed"),
    ],
)
async def test_pages(
    allowed: list[str], host: str, origin: str | None, named: str, refusal: str | None
) -> None:
    origins = Origins(allowed, public_url="https://heddle.test", host=host)
    if refusal is None:
        origins.check(page(origin, named))
    else:
        with pytest.raises(PermissionDenied) as raised:
            origins.check(page(origin, named))
        assert raised.value.code == refusal


async def test_a_page_of_another_origin_is_turned_away(shared_mall: Mall) -> None:
    async with shared_mall.http(origin="http://evil.test") as http:
        answer = await http.post("/mcp", json=PING, headers={"host": "evil.test"})
        assert answer.status_code == 403
        preflight = await http.options("/mcp", headers={"access-control-request-method": "POST"})
        assert preflight.status_code == 200
        fine = await http.post("/mcp", json=PING)
        assert fine.status_code == 200
        assert "mcp-session-id" in fine.headers["access-control-expose-headers"]
