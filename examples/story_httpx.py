"""The whole story with nothing but httpx: a capped key, tools, a thread, a consent, the bill.

    pip install httpx
    HEDDLE_ADMIN_KEY=ak_live_… python examples/story_httpx.py

It serves its own webhook tool. With NOTEBOOK_MCP_URL (an MCP server with OAuth, such as the one that
`heddle demo` leaves running) it also uses a tool that needs the end user's own account, and waits while
you click the link.
"""

import json
import os
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx

URL = os.environ.get("HEDDLE_URL", "http://127.0.0.1:8787")
NOTEBOOK = os.environ.get("NOTEBOOK_MCP_URL")


class Weather(BaseHTTPRequestHandler):
    """A webhook tool. (A real one verifies the signature first: see docs/tools.md.)"""

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"output": f"4 degrees and snow in {call['input']['city']}"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def post(client: httpx.Client, path: str, body: Any) -> Any:
    return client.post(path, json=body).raise_for_status().json()


def events(response: httpx.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    event_id = 0
    for line in response.iter_lines():
        if line.startswith("id: "):
            event_id = int(line[4:])
        elif line.startswith("data: "):
            yield event_id, json.loads(line[6:])


def show(event: dict[str, Any]) -> None:
    kind = event["type"]
    if kind == "content_block_delta":
        print(event["delta"].get("text", ""), end="", flush=True)
    elif kind == "message_stop":
        print()
    elif kind == "qlaud.tool_dispatch_start":
        print(f"-> {event['name']}")
    elif kind == "qlaud.tool_dispatch_done":
        print(f"<- {event['name']}: {event['output']}")
    elif kind == "qlaud.error":
        print(f"error: {event['message']}")


def follow(user: httpx.Client, path: str, last_id: int) -> None:
    """Watch a parked turn until it is done. A stream can be left and taken up at any event id."""
    while True:
        with user.stream("GET", path, headers={"last-event-id": str(last_id)}) as response:
            for event_id, event in events(response):
                last_id = event_id
                show(event)
                if event["type"] == "qlaud.done" and not event.get("incomplete"):
                    return


def main() -> None:
    hook = HTTPServer(("127.0.0.1", 0), Weather)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    admin = httpx.Client(base_url=URL, headers={"x-api-key": os.environ["HEDDLE_ADMIN_KEY"]}, timeout=30)
    run = uuid.uuid4().hex[:6]

    key = post(
        admin,
        "/v1/keys",
        {"name": "example", "scope": "standard", "max_spend_usd": 0.5, "end_user_id": f"user_{run}"},
    )
    tool = post(
        admin,
        "/v1/tools",
        {
            "name": f"weather_{run}",
            "description": "The weather in a city",
            "input_schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
            "webhook_url": f"http://127.0.0.1:{hook.server_port}/",
        },
    )
    tools, content = [tool["id"]], f'use weather_{run} {{"city": "Oslo"}}'
    if NOTEBOOK:
        server = {"name": f"notebook-{run}", "server_url": NOTEBOOK, "auth_mode": "per_user"}
        tools.append(post(admin, "/v1/mcp-servers", server)["id"])
        content += ' and add_note {"text": "take a coat"} then list_notes {}'

    user = httpx.Client(base_url=URL, headers={"x-api-key": key["secret"]}, timeout=60)
    thread = post(user, "/v1/threads", {"metadata": {"example": "story"}})
    path = f"/v1/threads/{thread['id']}"
    turn = {"model": "sim-small", "content": content, "tools": tools, "stream": True}
    last_id, waiting = 0, None
    with user.stream("POST", f"{path}/messages", json=turn) as response:
        response.raise_for_status()
        for event_id, event in events(response):
            show(event)
            last_id = event_id
            waiting = event if event["type"] == "qlaud.requires_action" else waiting
    if waiting:
        print(f"Open this and allow it: {waiting['actions'][0]['connect_url']}", flush=True)
        follow(user, f"{path}/turns/{waiting['turn_id']}/events", last_id)

    messages = user.get(f"{path}/messages").raise_for_status().json()["data"]
    print(f"{len(messages)} messages stored")
    spent = admin.get(f"/v1/keys/{key['id']}/usage").raise_for_status().json()
    print(f"{spent['request_count']} model calls, {spent['cost_micros']} of {spent['cap_micros']} micro-USD")


if __name__ == "__main__":
    main()
