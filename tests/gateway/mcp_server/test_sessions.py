"""Sessions of the handshake revisions: whose they are, how long they last, that nothing is kept of them."""

import asyncio
import gc

import httpx
import pytest
import pytest_asyncio
from mcp.server.connection import Connection
from mcp.server.request_state import AESGCMRequestStateCodec
from mcp.server.streamable_http import StreamableHTTPServerTransport

from gateway.mcp_server.endpoint import McpEndpoint
from gateway.mcp_server.sealing import Sealing
from gateway.mcp_server.sessions import LIFETIME_MS, Sessions
from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import NotFound
from tests.gateway.mcp_server.rig import LEGACY, Mall, client, open_session, request, until
from vault.keyring import KeyProvider, KeyRing
from vault.store import Vault

pytestmark = pytest.mark.asyncio(loop_scope="module")
CAPABILITIES = {"capabilities": {"elicitation": {"url": {}}}, "protocolVersion": "2025-11-25"}


@pytest_asyncio.fixture(loop_scope="module")
async def endpoint(shared_mall: Mall) -> McpEndpoint:
    return shared_mall.shop.heddle.app.mcp


async def test_sessions_that_nobody_ends_leave_nothing_behind(
    shared_mall: Mall, endpoint: McpEndpoint
) -> None:
    async with shared_mall.http() as http:
        await open_session(http)
        tasks, made = len(asyncio.all_tasks()), len(servings())
        for _ in range(300):
            await open_session(http)
    assert len(servings()) <= made + 2  # of the last request, perhaps
    assert len(asyncio.all_tasks()) <= tasks + 2
    assert (len(endpoint.watch), len(endpoint.running)) == (0, 0)


async def test_a_session_ends_by_the_clock() -> None:
    clock, caller = ManualClock(), Caller("acct_1", "key_1", "standard")
    sessions = Sessions(AESGCMRequestStateCodec([bytes(32)]), clock)
    ids = [sessions.open(caller, "eve", CAPABILITIES) for _ in range(300)]
    assert len(set(ids)) == 300
    clock.advance(seconds=LIFETIME_MS / 1000 - 1)
    session = sessions.resume(ids[0], caller)
    assert (session.end_user_id, session.version, session.opens_urls) == ("eve", "2025-11-25", True)
    clock.advance(seconds=1)
    for session_id in ids:
        with pytest.raises(NotFound):
            sessions.resume(session_id, caller)


class Rotated(KeyProvider):
    """A ring that gets another one in its place; a process hears of it when it looks."""

    def __init__(self, ring: KeyRing, later: KeyRing | None = None) -> None:
        self.ring, self.later = ring, later

    def current(self) -> KeyRing:
        return self.ring

    def reloaded(self) -> KeyRing:
        self.ring = self.later or self.ring
        return self.ring


async def test_sessions_outlive_the_rotation_of_the_vaults_keys(sqlite_db: Database) -> None:
    clock, caller = ManualClock(), Caller("acct_1", "key_1", "standard")
    old, new = b"a" * 32, b"b" * 32
    both = KeyRing({"v2": new, "v1": old})

    def process(keys: KeyProvider) -> Sessions:
        return Sessions(Sealing(Vault(sqlite_db, keys, clock), "sessions"), clock)

    slow, fast = process(Rotated(KeyRing({"v1": old}), both)), process(both)
    before, after = slow.open(caller, None, {}), fast.open(caller, None, {})
    assert fast.resume(before, caller).version == "2025-11-25"
    assert slow.resume(after, caller).version == "2025-11-25"  # it looks for the key that it does not know
    with pytest.raises(NotFound):
        process(KeyRing({"v2": new})).resume(before, caller)


async def test_a_session_of_another_key_is_not_there(shared_mall: Mall) -> None:
    owner, other = await shared_mall.key(), await shared_mall.key()
    async with shared_mall.http(owner) as http:
        session = await open_session(http)
        listed = await http.post("/mcp", json=request("tools/list", 1), headers=session)
        assert listed.status_code == 200 and "toolbox__add" in listed.text
    async with shared_mall.http(other) as http:
        for headers in (session, {"mcp-session-id": "made up"}, {"mcp-session-id": "v1." + "A" * 5000}):
            answer = await http.post("/mcp", json=request("tools/list", 1), headers=headers)
            assert answer.status_code == 404, answer.text
            assert answer.json()["error"]["code"] == "session_not_found"
            assert (await http.get("/mcp", headers=headers)).status_code == 404


async def test_a_session_stays_with_its_end_user(shared_mall: Mall) -> None:
    key = await shared_mall.key()
    async with shared_mall.http(key) as http:
        session = await open_session(http)
        answer = await http.post(
            "/mcp", json=request("ping", 1), headers={**session, "x-heddle-end-user-id": "eve"}
        )
        assert answer.status_code == 404
    bound = await shared_mall.key(end_user_id="ada")
    async with shared_mall.http(bound) as http:
        answer = await http.post("/mcp", json=request("ping", 1), headers={"x-heddle-end-user-id": "eve"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "end_user_mismatch")


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_every_handshake_revision_is_spoken(shared_mall: Mall, version: str) -> None:
    async with shared_mall.http() as http:
        info = {"name": "by hand", "version": "1"}
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": info}
        answer = await http.post("/mcp", json=request("initialize", 0, **params))
        assert f'"protocolVersion":"{version}"' in answer.text
        assert '"listChanged":true' in answer.text
        session = {"mcp-session-id": answer.headers["mcp-session-id"]}  # and not the revision
        told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert (await http.post("/mcp", json=told, headers=session)).status_code == 202
        call = request("tools/call", 1, name="toolbox__add", arguments={"a": 20, "b": 22})
        assert '"text":"42"' in (await http.post("/mcp", json=call, headers=session)).text


async def test_an_ended_session_needs_no_ending(shared_mall: Mall) -> None:
    async with shared_mall.http() as http:
        answer = await http.delete("/mcp", headers=await open_session(http))
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_streams_are_bounded_and_end_with_their_key(
    shared_mall: Mall, endpoint: McpEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint.watch, "_max_per_account", 3)
    monkeypatch.setattr(endpoint.watch, "_ping_every_s", 0.2)
    minted = (await shared_mall.admin.post("/v1/keys", json={"name": "k", "scope": "standard"})).json()
    async with shared_mall.http(minted["secret"]) as http:
        session = await open_session(http)
        readers = [asyncio.create_task(read_to_the_end(http, session)) for _ in range(3)]
        await until(lambda: len(endpoint.watch) == 3)
        newest = asyncio.create_task(read_to_the_end(http, session))
        await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        assert [reader.done() for reader in readers].count(True) == 1
        await until(lambda: len(endpoint.watch) == 3)
        (await shared_mall.admin.delete(f"/v1/keys/{minted['id']}")).raise_for_status()
        await asyncio.wait_for(asyncio.gather(*readers, newest), 20)
    assert len(endpoint.watch) == 0
    monkeypatch.setattr(endpoint.watch, "_max_streams", 0)
    async with shared_mall.http() as http:
        answer = await http.get("/mcp", headers=await open_session(http))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_streams")


async def test_a_reader_that_goes_away_frees_its_stream(shared_mall: Mall, endpoint: McpEndpoint) -> None:
    async with client(shared_mall, mode=LEGACY) as connected:
        await connected.list_tools()
        await until(lambda: len(endpoint.watch) == 1)
    await until(lambda: len(endpoint.watch) == 0)


async def read_to_the_end(http: httpx.AsyncClient, session: dict[str, str]) -> bytes:
    async with http.stream("GET", "/mcp", headers=session) as answer:
        assert answer.status_code == 200
        return await answer.aread()


def servings() -> list[object]:
    """What the SDK makes to serve a connection, as far as it is still there."""
    gc.collect()
    kinds = (StreamableHTTPServerTransport, Connection)
    return [found for found in gc.get_objects() if isinstance(found, kinds)]
