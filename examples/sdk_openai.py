"""The official openai SDK against Heddle: only the base URL and the key change.

pip install openai
HEDDLE_KEY=ak_live_… python examples/sdk_openai.py
"""

import os

from openai import OpenAI

url = os.environ.get("HEDDLE_URL", "http://127.0.0.1:8787")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["HEDDLE_KEY"])

print("models:", ", ".join(model.id for model in client.models.list()))
answer = client.chat.completions.create(
    model="sim-small", messages=[{"role": "user", "content": "Hello from the openai SDK"}]
)
print(answer.choices[0].message.content)

stream = client.chat.completions.create(
    model="sim-small",
    messages=[{"role": "user", "content": "And now as a stream"}],
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    elif chunk.usage:
        print(f"\n{chunk.usage.prompt_tokens} input and {chunk.usage.completion_tokens} output tokens")
