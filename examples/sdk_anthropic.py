"""The official anthropic SDK against Heddle: only the base URL and the key change.

pip install anthropic
HEDDLE_KEY=ak_live_… python examples/sdk_anthropic.py
"""

import os

from anthropic import Anthropic
from anthropic.types import MessageParam, ToolParam

client = Anthropic(
    base_url=os.environ.get("HEDDLE_URL", "http://127.0.0.1:8787"), api_key=os.environ["HEDDLE_KEY"]
)
add: ToolParam = {
    "name": "add",
    "description": "Add two numbers",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
    },
}
messages: list[MessageParam] = [{"role": "user", "content": 'use add {"a": 2, "b": 3}'}]

while True:
    with client.messages.stream(model="sim-small", max_tokens=500, messages=messages, tools=[add]) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
        message = stream.get_final_message()
    print()
    if message.stop_reason != "tool_use":
        break
    messages.append({"role": "assistant", "content": message.content})
    for block in message.content:
        if block.type == "tool_use":
            a, b = (float(str(block.input[name])) for name in ("a", "b"))
            result = f"{a:g} + {b:g} = {a + b:g}"
            messages.append(
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": block.id, "content": result}],
                }
            )

print(f"{message.usage.input_tokens} input and {message.usage.output_tokens} output tokens")
