"""A stdio MCP server that misbehaves as its first argument says; run as a program by the tests."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

MODE = sys.argv[1]
NOTES = sys.argv[2] if len(sys.argv) > 2 else ""


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def result(request: dict[str, Any], **fields: object) -> None:
    say({"jsonrpc": "2.0", "id": request["id"], "result": fields})


def text(request: dict[str, Any], words: str) -> None:
    result(request, content=[{"type": "text", "text": words}])


def call(request: dict[str, Any]) -> None:
    if MODE == "huge":
        size = 100_000_000
        sys.stdout.write('{"result":{"content":[{"type":"text","text":"')
        for _ in range(size // 1_000_000):
            sys.stdout.write("x" * 1_000_000)
        sys.stdout.write('"}]},"jsonrpc":"2.0","id":' + f"{request['id']}}}\n")
        sys.stdout.flush()
    elif MODE == "dies":
        os._exit(1)
    elif MODE == "twice":
        text(request, "first")
        text(request, "second")
    elif MODE == "environment":
        text(request, json.dumps(dict(os.environ)))
    elif MODE == "changes":
        say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        text(request, "changed")
    elif MODE != "silent":
        text(request, "ok")


if NOTES:
    with open(NOTES, "a") as notes:
        notes.write(f"{os.getpid()}\n")
if MODE == "stays":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "300"])
    with open(NOTES, "a") as notes:
        notes.write(f"{child.pid}\n")
if MODE == "babbles":
    print("Welcome to the rogue server!", flush=True)
    for number in range(5_000):
        print(f"line {number} \x1b[31m" + "y" * 5_000, file=sys.stderr)
if MODE == "never-starts":
    sys.exit(3)

for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        result(
            message,
            protocolVersion="2025-06-18",
            capabilities={"tools": {"listChanged": True}},
            serverInfo={"name": "rogue", "version": "1"},
        )
    elif message.get("method") == "tools/list":
        result(message, tools=[{"name": "go", "inputSchema": {"type": "object"}}])
    elif message.get("method") == "tools/call":
        call(message)
    elif "id" in message:
        say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}})
while MODE == "stays":
    time.sleep(1)
