"""``kill -9`` in the middle of a turn: the thread can be read and continued, the money is right."""

import json
import threading
import time
from typing import Any

import httpx
import pytest

from tests.e2e.processes import HeddleProcess


def balance(client: httpx.Client) -> tuple[int, int]:
    body = client.get("/v1/billing/balance").raise_for_status().json()
    return body["balance_micros"], body["held_micros"]


def ledger_total(client: httpx.Client) -> float:
    entries = client.get("/v1/billing/ledger?limit=100").raise_for_status().json()["data"]
    return round(sum(float(entry["amount_usd"]) for entry in entries), 9)


def turn_of(client: httpx.Client, thread_id: str) -> dict[str, Any]:
    turns = client.get(f"/v1/threads/{thread_id}/turns").raise_for_status().json()["data"]
    turn: dict[str, Any] = turns[0]
    return turn


def wait_for_end(client: httpx.Client, thread_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        turn = turn_of(client, thread_id)
        if turn["status"] in {"completed", "failed", "cancelled"}:
            return turn
        time.sleep(0.1)
    raise AssertionError(f"the turn did not end: {turn_of(client, thread_id)}")


def start_turn(client: httpx.Client, content: str) -> tuple[str, list[dict[str, Any]], threading.Thread]:
    """Stream a turn in the background; returns the thread's id and the list its events go to."""
    thread_id = client.post("/v1/threads", json={}).raise_for_status().json()["id"]
    events: list[dict[str, Any]] = []

    def read() -> None:
        body = {"model": "sim-small", "content": content, "stream": True}
        try:
            with client.stream("POST", f"/v1/threads/{thread_id}/messages", json=body) as response:
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        events.append(json.loads(line[6:]))
        except httpx.TransportError:
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return thread_id, events, reader


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_turn_that_was_killed_mid_stream_is_finished_after_the_restart(heddle: HeddleProcess) -> None:
    with heddle.client() as client:
        thread_id, events, reader = start_turn(client, "[sim: pace=50ms words=60] tell me a story")
        wait_until(lambda: sum(event["type"] == "content_block_delta" for event in events) > 5)
        heddle.kill()
        reader.join(10)
    heddle.start()
    with heddle.client() as client:
        turn = wait_for_end(client, thread_id)
        assert turn["status"] == "completed"
        messages = client.get(f"/v1/threads/{thread_id}/messages").json()["data"]
        assert [message["role"] for message in messages] == ["user", "assistant"]
        assert len(messages[1]["content"][0]["text"].split()) == 60
        again, lost = client.get("/v1/usage/events").json()["data"]
        assert (again["status"], again["estimated"]) == ("ok", False)
        assert (lost["error_code"], lost["estimated"]) == ("process_died", True)
        assert 1 < lost["output_tokens"] < 60
        again = client.post(
            f"/v1/threads/{thread_id}/messages", json={"model": "sim-small", "content": "and now?"}
        )
        assert again.json()["content"][0]["text"] == "You said: and now?"
        free, held = balance(client)
        assert held == 0
        assert ledger_total(client) * 1e6 == pytest.approx(free, abs=1)


def test_a_pass_through_call_that_was_killed_leaves_no_hold(heddle: HeddleProcess) -> None:
    body = {
        "model": "sim-small",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "[sim: latency=5000ms] hello"}],
    }
    with heddle.client() as client:

        def call() -> None:
            with pytest.raises(httpx.TransportError):
                client.post("/v1/messages", json=body)

        caller = threading.Thread(target=call, daemon=True)
        caller.start()
        with heddle.client() as other:
            wait_until(lambda: balance(other)[1] > 0)
        heddle.kill()
        caller.join(10)
    heddle.start()
    with heddle.client() as client:
        assert balance(client) == (5_000_000, 0)


def test_sigterm_hands_a_running_turn_over_to_the_next_start(heddle: HeddleProcess) -> None:
    with heddle.client() as client:
        thread_id, events, reader = start_turn(client, "[sim: pace=50ms words=60] tell me a story")
        wait_until(lambda: len(events) > 5)
        assert heddle.stop() == 0
        reader.join(10)
    heddle.start()
    with heddle.client() as client:
        assert wait_for_end(client, thread_id)["status"] == "completed"
        assert balance(client)[1] == 0


def test_an_unsafe_tool_that_was_cut_off_is_not_called_twice(heddle: HeddleProcess) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    calls: list[str] = []

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(self.headers["webhook-id"])
            time.sleep(30)

        def log_message(self, *_: Any) -> None:
            pass

    hook = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    hook.daemon_threads = True
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    with heddle.client() as client:
        url = f"http://127.0.0.1:{hook.server_port}/"
        client.post("/v1/tools", json={"name": "pay", "webhook_url": url}).raise_for_status()
        thread_id = client.post("/v1/threads", json={}).json()["id"]
        body = {"model": "sim-small", "content": "use pay {}", "tools": ["pay"], "background": True}
        assert client.post(f"/v1/threads/{thread_id}/messages", json=body).status_code == 202
        wait_until(lambda: len(calls) == 1)
        heddle.kill()
    heddle.start()
    with heddle.client() as client:
        turn = wait_for_end(client, thread_id)
        detail = client.get(f"/v1/threads/{thread_id}/turns/{turn['id']}").json()
        assert detail["tool_calls"][0]["is_error"]
        assert "unknown" in detail["tool_calls"][0]["output"]["error"]
        assert turn["status"] == "completed"
        assert len(calls) == 1
    hook.shutdown()
