"""What this dialect calls the fields of the neutral form; its messages are the neutral ones."""

from gateway.inference.dialects.neutral import Request
from gateway.inference.dialects.terms import Place, Terms

_CACHE = {"cache": "cache_control"}
TERMS = Terms(
    request={
        "stop": "stop_sequences",
        "output": "output_config.format",
        "reasoning": "thinking",
        "reasoning.thinking": "thinking",
        "reasoning.enabled": "thinking.type",
        "reasoning.show": "thinking.display",
        "reasoning.effort": "output_config.effort",
        "parallel_tools": "tool_choice.disable_parallel_tool_use",
        "user": "metadata.user_id",
    },
    tool={"schema": "input_schema", **_CACHE},
    block=_CACHE,
)


def client_name(name: str, request: Request) -> str:  # noqa: ARG001 - the dialects share a shape
    place = Place.of(name)
    if place is None:
        return TERMS.of(name)
    block = f"{place.among}[{place.entry}]"
    block += "" if place.block is None else f".content[{place.block}]"
    return TERMS.within(block if place.inner is None else f"{block}.{place.inner}", place.field)
