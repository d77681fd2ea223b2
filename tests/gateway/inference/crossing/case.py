"""One case of the matrix: a client, a provider, streamed or whole."""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.gateway.inference.crossing.ask import Ask, Read, ReadUsage, Told
from tests.gateway.inference.crossing.clients.client import Client
from tests.gateway.inference.crossing.providers.provider import FakeProvider
from tests.gateway.inference.crossing.world import World
from tests.gateway.inference.wire.reply import Reply

USAGE: dict[str, Any] = {"input_tokens": 70, "cache_read_tokens": 30, "output_tokens": 41}


@dataclass
class Case:
    """``dropped`` collects what Heddle says it left out, over all rounds."""

    world: World
    client: Client
    provider: FakeProvider
    stream: bool
    dropped: list[str] = field(default_factory=list)
    rounds: int = 0

    @property
    def passes_through(self) -> bool:
        return self.client.name == self.provider.dialect

    async def round(self, ask: Ask, reply: Reply, model: str | None = None) -> tuple[Told, Read]:
        """One exchange; checks what holds in every case. ``model`` is the provider's unless given."""
        self.rounds += 1
        digest = f"{self.rounds:016}"
        ask = replace(ask, stream=self.stream, model=model or self.provider.dialect)
        told, read, answered = await self.world.exchange(self.client, self.provider, ask, reply, digest)
        self.dropped += [name for name in answered.dropped if name not in self.dropped]
        assert (told.model, told.stream) == (self.provider.model, self.stream)
        assert told.system == ask.system
        assert told.tools == ask.tools
        assert read.usage == ReadUsage(
            reply.prompt_tokens, reply.cache_read_tokens, reply.output_tokens, reply.reasoning_tokens
        )
        self._assert_answer(read, reply)
        return told, read

    def _assert_answer(self, read: Read, reply: Reply) -> None:
        assert read.text == reply.text
        assert [(call.name, call.arguments.replace(" ", "")) for call in read.calls] == [
            (call.name, call.arguments.replace(" ", "")) for call in reply.calls
        ]
        assert read.thought == "\n\n".join(thought.text for thought in reply.thoughts if thought.text)
        ending = "tools" if reply.calls else "length" if reply.truncated else "end"
        assert read.stop == self.client.stops[ending]
