"""Search, forks, exports, imports and deletion over HTTP."""

import asyncio
import json

from tests.serving import Served


async def test_a_thread_is_searched_forked_exported_imported_and_goes_on(served_heddle: Served) -> None:
    admin = await served_heddle.client()
    user, _ = await served_heddle.mint()
    other, _ = await served_heddle.mint(end_user_id="bob")
    thread = (await user.post("/v1/threads", json={"end_user_id": "ann"})).json()["id"]
    for content in ("the <first> zebra", "a second one"):
        turn = {"model": "sim-small", "content": content}
        (await user.post(f"/v1/threads/{thread}/messages", json=turn)).raise_for_status()

    found = (await user.get("/v1/search", params={"q": "zebra", "end_user_id": "ann"})).json()
    assert (found["object"], found["query"]) == ("list", "zebra")
    by_role = {hit["role"]: hit for hit in found["data"]}
    assert set(by_role) == {"user", "assistant"}
    assert by_role["user"]["snippet"] == "the &lt;first&gt; <mark>zebra</mark>"
    assert (by_role["user"]["thread_id"], by_role["user"]["seq"]) == (thread, 1)
    assert 0 < by_role["user"]["score"] < 1
    assert set(by_role["user"]) == {"thread_id", "seq", "role", "snippet", "score", "created_at"}
    in_thread = (await user.get(f"/v1/threads/{thread}/search", params={"q": "zebra", "limit": 1})).json()
    assert len(in_thread["data"]) == 1
    assert (await other.get("/v1/search", params={"q": "zebra"})).json()["data"] == []
    for path in (f"/v1/threads/{thread}/search?q=zebra", f"/v1/threads/{thread}/export"):
        assert (await other.get(path)).status_code == 404
    refused = await user.get("/v1/search", params={"q": " "})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "q")

    before = (await admin.get("/v1/usage")).json()["request_count"]
    fork = await user.post(f"/v1/threads/{thread}/fork", json={"at_seq": 2})
    assert fork.status_code == 201
    assert fork.json()["forked_from"] == {"thread_id": thread, "at_seq": 2}
    assert (await user.post(f"/v1/threads/{thread}/fork", json={"at_seq": 9})).status_code == 400
    export = await user.get(f"/v1/threads/{thread}/export")
    assert export.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["object"] for line in export.text.splitlines()] == ["thread", *["message"] * 4]
    imported = await user.post("/v1/threads/import", content=export.content)
    assert imported.status_code == 201
    assert imported.json()["end_user_id"] == "ann"
    assert (await admin.get("/v1/usage")).json()["request_count"] == before
    for copy, last_seq in ((fork.json()["id"], 2), (imported.json()["id"], 4)):
        turn = {"model": "sim-small", "content": "and on"}
        answer = await user.post(f"/v1/threads/{copy}/messages", json=turn)
        assert answer.headers["x-qlaud-assistant-seq"] == str(last_seq + 2)
    broken = await user.post("/v1/threads/import", content=export.content + b"{}")
    assert (broken.status_code, broken.json()["error"]["message"][:7]) == (400, "line 6:")


async def test_deleting_a_thread_stops_its_turn(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    thread = (await user.post("/v1/threads", json={})).json()["id"]
    body = {"model": "sim-small", "content": "[sim: pace=50ms words=200] x", "background": True}
    (await user.post(f"/v1/threads/{thread}/messages", json=body)).raise_for_status()
    await asyncio.sleep(0.2)
    assert (await user.delete(f"/v1/threads/{thread}")).json()["deleted"] is True
    assert (await user.get(f"/v1/threads/{thread}")).status_code == 404
    admin = await served_heddle.client()
    assert (await admin.get("/v1/billing/balance")).json()["held_micros"] == 0


async def test_metadata_is_compared_as_it_is_written(served_heddle: Served) -> None:
    user, _ = await served_heddle.mint()
    metadata = {"text": "a", "whole": 7, "broken": 1.5, "yes": True, "none": [1], 'odd"]key\\': "x"}
    thread = (await user.post("/v1/threads", json={"metadata": metadata})).json()["id"]
    for key, value, found in (
        ("text", "a", True),
        ("text", "A", False),
        ("whole", "7", True),
        ("broken", "1.5", True),
        ("yes", "true", True),
        ("yes", "1", False),
        ("absent", "", False),
        ('odd"]key\\', "x", True),
        ("x' OR '1'='1", "x", False),
    ):
        listed = await user.get("/v1/threads", params={f"metadata[{key}]": value})
        assert [row["id"] for row in listed.json()["data"]] == [thread] * found, (key, value)
    assert (await user.get("/v1/threads", params={"metadata[a]": "\0"})).status_code == 400
    many = {f"metadata[{number}]": "x" for number in range(17)}
    assert (await user.get("/v1/threads", params=many)).status_code == 400


async def test_a_title_is_set_and_taken_away_and_metadata_does_not_grow_without_end(
    sqlite_heddle: Served,
) -> None:
    user, _ = await sqlite_heddle.mint()
    path = f"/v1/threads/{(await user.post('/v1/threads', json={})).json()['id']}"
    assert (await user.patch(path, json={"title": "T"})).json()["title"] == "T"
    assert (await user.patch(path, json={"metadata": {"a": "x" * 9000}})).json()["title"] == "T"
    assert (await user.patch(path, json={"title": None})).json()["title"] is None
    grown = await user.patch(path, json={"title": "no", "metadata": {"b": "x" * 9000}})
    assert (grown.status_code, grown.json()["error"]["param"]) == (400, "metadata")
    assert (await user.get(path)).json()["title"] is None
