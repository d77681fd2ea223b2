"""The official SDK as the judge of what our encoders write: its types and its accumulator."""

from typing import Any

import httpx2
import msgspec
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk


def _client(content: bytes, content_type: str) -> OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=content, headers={"content-type": content_type})

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return OpenAI(api_key="k", base_url="http://provider/v1", http_client=http_client, max_retries=0)


def accepts_answer(body: dict[str, Any]) -> ChatCompletion:
    """The answer as the SDK gives it, validated (the client alone would take anything)."""
    client = _client(msgspec.json.encode(body), "application/json")
    parsed = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    ChatCompletion.model_validate(body)
    return parsed


def accumulates(stream: bytes) -> ChatCompletion:
    """What the SDK's accumulator makes of a stream whose chunks all validate. Raises APIError."""
    for line in stream.splitlines():
        if line.startswith(b"data: {") and not line.startswith(b'data: {"error"'):
            ChatCompletionChunk.model_validate(msgspec.json.decode(line[6:]))
    client = _client(stream, "text/event-stream")
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "?"}]) as running:
        running.until_done()
        return running._state.current_completion_snapshot  # the final one raises on finish_reason length
