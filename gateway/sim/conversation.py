"""A request of either dialect in one form: what the simulated model reads."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import msgspec

BYTES_PER_TOKEN = 4
MEDIA_TOKENS = 1_600
"""What one image or document counts, whatever its size."""
BASE_TOKENS = 8
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class SimModel:
    """A simulated model and its limits in tokens."""

    id: str
    context_window: int
    max_output_tokens: int


_SMALL = SimModel("sim-small", 200_000, 8_192)
_LARGE = SimModel("sim-large", 1_000_000, 32_000)
MODELS: Mapping[str, SimModel] = {"sim-small": _SMALL, "sim-large": _LARGE, "sim": _SMALL}
"""By the names that requests use; ``sim`` is another name of ``sim-small``."""


def find_model(name: str, *, stand_in: bool) -> SimModel | None:
    """The model of a request. Where the simulator stands in for a vendor it has any model, without limits of
    its own: the gateway knows the real ones."""
    return SimModel(name, 10_000_000, 1_000_000) if stand_in else MODELS.get(name)


class Refused(Exception):
    """What a vendor would answer with an error: the status, and the error's fields."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """A tool's result as the conversation brings it."""

    tool: str
    text: str
    is_error: bool = False


@dataclass(slots=True)
class Conversation:
    """The newest question, what has been called and answered since, and what may be called."""

    model: SimModel
    max_tokens: int
    stream: bool = False
    include_usage: bool = True
    choices: int = 1
    stop: tuple[str, ...] = ()
    tools: dict[str, Any] = field(default_factory=dict)
    """Argument schemas by tool name."""
    tool_choice: str = "auto"
    """``auto``, ``any``, ``none``, or ``tool:<name>``."""
    parallel_calls: bool = True
    thinking: bool = False
    answer_schema: Any = None
    """The JSON Schema that a closing answer must satisfy, if one was set."""
    system: str = ""
    question: str = ""
    media: int = 0
    """Images and documents in the whole conversation."""
    rounds_done: int = 0
    results: list[ToolOutput] = field(default_factory=list)
    input_tokens: int = 0
    digest: str = ""
    """Of the messages: equal conversations are answered with equal ids."""

    def ask(self, text: str) -> None:
        """A new user text: what came before is history."""
        self.question = text
        self.rounds_done = 0
        self.results = []

    def weigh(self, messages: Any, tools: Any, media_bytes: int) -> None:
        """Count the input and make the digest. Equal messages and tools always count the same."""
        encoded = msgspec.json.encode(messages)
        size = len(encoded) - media_bytes + len(self.system.encode())
        if tools:
            size += len(msgspec.json.encode(tools))
        self.input_tokens = BASE_TOKENS + size // BYTES_PER_TOKEN + self.media * MEDIA_TOKENS
        self.digest = hashlib.blake2b(encoded, digest_size=10).hexdigest()

    @property
    def step(self) -> int:
        """Which request of the turn this is, from 1."""
        return self.rounds_done + 1


def text_of(content: Any) -> str:
    """The text of message content, which is a string or a list of blocks; media are named."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for block in content:
        if isinstance(block, Mapping):
            text = block.get("text")
            parts.append(text if isinstance(text, str) else f"[{block.get('type', 'unknown')}]")
    return "\n".join(parts)


def is_count(value: Any) -> TypeGuard[int]:
    """A positive integer that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def list_in(body: Mapping[str, Any], name: str) -> list[Any]:
    """The list in an optional field. Raises Refused if it is something else."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(400, f"{name}: Input should be a valid list", param=name)
    return value
