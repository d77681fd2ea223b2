"""An MCP server over stdio that an operator might sell: nothing but the standard library, so that it starts
at once. It writes every call into the file named by its argument, and does what the call says; one with a
mark that it has seen before is answered at once.

MCP 2025-06-18: stdio transport, initialize, tools/list, tools/call.
"""

import json
import os
import sys
import threading
from typing import Any

SCHEMA = {
    "type": "object",
    "properties": {
        "how": {"enum": ["well", "fails", "refuses", "dies"]},
        "after_s": {"type": "number"},
        "mark": {"type": "string"},
    },
    "additionalProperties": False,
}
TOOLS = [
    {"name": "query", "description": "May be called once", "inputSchema": SCHEMA},
    {
        "name": "lookup",
        "description": "May be called again",
        "inputSchema": SCHEMA,
        "annotations": {"readOnlyHint": True},
    },
    {"name": "help", "description": "Costs nothing", "inputSchema": SCHEMA},
]


def send(message_id: Any, **content: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message_id, **content}) + "\n")
    sys.stdout.flush()


def answer(message_id: Any, how: str) -> None:
    if how == "dies":
        os._exit(1)
    if how == "refuses":
        send(message_id, error={"code": -32602, "message": "that cannot be looked for"})
    else:
        text = [{"type": "text", "text": "found" if how == "well" else "nothing is there"}]
        send(message_id, result={"content": text, "isError": how == "fails"})


def call(message_id: Any, params: dict[str, Any], log: str) -> None:
    asked = params.get("arguments") or {}
    mark = asked.get("mark")
    with open(log, "a+", encoding="utf-8") as file:
        file.seek(0)
        known = mark is not None and mark in file.read().split()
        file.write(f"{params['name']} {mark or ''}".strip() + "\n")
    how = asked.get("how", "well")
    if asked.get("after_s") and not known:
        later = threading.Timer(asked["after_s"], answer, (message_id, how))
        later.daemon = True
        later.start()
    else:
        answer(message_id, how)


def main(log: str) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        message_id, params = message.get("id"), message.get("params") or {}
        match message.get("method"):
            case "initialize":
                info = {"name": "search", "version": "1"}
                version = params["protocolVersion"]
                send(
                    message_id,
                    result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info},
                )
            case "tools/list":
                send(message_id, result={"tools": TOOLS})
            case "tools/call":
                call(message_id, params, log)
            case _ if message_id is not None:
                send(message_id, error={"code": -32601, "message": "no such method"})


if __name__ == "__main__":
    main(sys.argv[1])
