"""What changes its meaning by crossing is refused by name, before anything is held or sent."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tests.gateway.inference.crossing.ask import Ask, Said
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.world import World
from tests.gateway.inference.wire.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Refused:
    """``fields`` of a client's request that the ``providers`` cannot honour; the error names ``param``."""

    client: str
    providers: tuple[str, ...]
    param: str
    fields: dict[str, Any]


ANTHROPIC, CHAT, RESPONSES, GOOGLE = PROVIDERS
WAV = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
CLAUDES_FILE = {"type": "document", "source": {"type": "file", "file_id": "file_011C"}}
OPENAIS_FILE = {"type": "input_file", "file_id": "file-1"}
SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
FILES = {"type": "file_search", "vector_store_ids": ["vs_1"]}
NARROW = {"type": "web_search", "filters": {"allowed_domains": ["example.org"]}}


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": [*parts]}]


REFUSED = [
    Refused("anthropic", (RESPONSES,), "stop_sequences", {"stop_sequences": ["END"]}),
    Refused("anthropic", (GOOGLE,), "stop_sequences", {"stop_sequences": list("abcdef")}),
    Refused("anthropic", (CHAT, RESPONSES, GOOGLE), "mcp_servers", {"mcp_servers": [{"url": "https://x"}]}),
    Refused("anthropic", (CHAT, RESPONSES, GOOGLE), "container", {"container": "container_1"}),
    Refused(
        "anthropic",
        (CHAT, RESPONSES, GOOGLE),
        "messages[0].content[0].source",
        {"messages": user(CLAUDES_FILE)},
    ),
    Refused(
        "anthropic",
        (CHAT, RESPONSES, GOOGLE),
        "tools[0].blocked_domains",
        {"tools": [{**SEARCH, "blocked_domains": ["example.org"]}]},
    ),
    Refused("anthropic", (GOOGLE,), "tools[0]", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
    Refused("openai-chat", (ANTHROPIC, RESPONSES), "n", {"n": 2}),
    Refused("openai-chat", (RESPONSES,), "stop", {"stop": ["END"]}),
    Refused("openai-chat", (ANTHROPIC,), "logprobs", {"logprobs": True}),
    Refused("openai-chat", (ANTHROPIC,), "response_format", {"response_format": {"type": "json_object"}}),
    Refused(
        "openai-chat",
        (ANTHROPIC, RESPONSES, GOOGLE),
        "modalities",
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    ),
    Refused("openai-chat", (ANTHROPIC, RESPONSES), "messages[0].content[0]", {"messages": user(WAV)}),
    Refused(
        "openai-responses",
        (ANTHROPIC, CHAT, GOOGLE),
        "input[0] (item_reference)",
        {"input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Go on."}]},
    ),
    Refused(
        "openai-responses",
        (ANTHROPIC, GOOGLE),
        "input[0].content[0]",
        {"input": user(OPENAIS_FILE)},
    ),
    Refused("openai-responses", (ANTHROPIC, GOOGLE), "tools[0]", {"tools": [FILES]}),
    Refused("openai-responses", (CHAT, GOOGLE), "tools[0].filters", {"tools": [NARROW]}),
]
CASES = [
    pytest.param(refused, provider, id=f"{refused.client}-{provider}-{refused.param}")
    for refused in REFUSED
    for provider in refused.providers
]


@pytest.mark.parametrize(("refused", "provider"), CASES)
async def test_it_is_refused_before_anything_is_sent(
    heddle_world: World, refused: Refused, provider: str
) -> None:
    client = CLIENTS[refused.client]
    upstream = heddle_world.script(provider, PROVIDERS[provider].answer(Reply("Never said."), streamed=False))
    before = await heddle_world.heddle.wallet()
    ask = Ask((Said("Weave."),), model=provider)
    answered = await heddle_world.post(client, ask, **refused.fields)
    assert answered.status == 422, answered.raw
    error = client.error(msgspec.json.decode(answered.raw))
    assert error["param"] == refused.param
    assert refused.param in error["message"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "unsupported")
    assert upstream.heard == []
    assert answered.event is None
    after = await heddle_world.heddle.wallet()
    assert (after.balance_nanos, after.held_nanos) == (before.balance_nanos, 0)
