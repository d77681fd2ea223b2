"""What the tests need of a client, and the vendor's SDK fed with bytes that were read already."""

from typing import Any, ClassVar, Protocol

import anthropic
import httpx2
import msgspec
import openai

from tests.gateway.inference.crossing.ask import Ask, Json, Read

TOLD = {"content-type": "application/json"}
STREAMED = {"content-type": "text/event-stream; charset=utf-8"}


class Client(Protocol):
    name: str
    path: str
    stops: ClassVar[dict[str, str]]
    """The dialect's words for ``end``, ``tools`` and ``length``."""

    def write(self, ask: Ask) -> Json: ...

    def read(self, raw: bytes, *, stream: bool) -> Read:
        """Fails where the answer is not in the dialect's form."""
        ...

    def error(self, body: Json) -> Json:
        """What an error's body says: ``type``, ``message`` and ``code`` at least."""
        ...

    def stream_error(self, raw: bytes) -> tuple[str, str]:
        """The message and the code of the error that ends a stream."""
        ...

    async def sdk(self, raw: bytes, status: int, *, stream: bool) -> tuple[str, list[str], int]:
        """The text, the calls' arguments and the output tokens, as the vendor's SDK reads them. Raises the
        SDK's errors."""
        ...


def replaying(raw: bytes, status: int, *, stream: bool) -> httpx2.AsyncClient:
    """An HTTP client for the SDKs whose every answer is ``raw``."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=STREAMED if stream else TOLD, content=raw)

    return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


def claude(raw: bytes, status: int, *, stream: bool) -> anthropic.AsyncAnthropic:
    http = replaying(raw, status, stream=stream)
    return anthropic.AsyncAnthropic(api_key="k", max_retries=0, http_client=http)


def gpt(raw: bytes, status: int, *, stream: bool) -> openai.AsyncOpenAI:
    http = replaying(raw, status, stream=stream)
    return openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=http)


def events(raw: bytes) -> list[Json]:
    """The data of every event of a stream; each frame's ``event:`` line says its data's type."""
    found: list[Json] = []
    for frame in raw.decode().replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
        if "data" not in lines or lines["data"] == "[DONE]":
            continue
        event = msgspec.json.decode(lines["data"])
        assert lines.get("event") in {None, event.get("type")}, frame
        found.append(event)
    return found


def only(items: list[Any]) -> Any:
    assert len(items) == 1, items
    return items[0]
