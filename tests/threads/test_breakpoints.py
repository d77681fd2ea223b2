"""Cache breakpoints: at most four, the caller's own before ours."""

from typing import Any

import pytest

from threads.context.caching import with_breakpoints

OWN: dict[str, Any] = {"type": "ephemeral"}
HOUR: dict[str, Any] = {"type": "ephemeral", "ttl": "1h"}


def said(role: str, *marks: Any) -> dict[str, Any]:
    blocks = [
        {"type": "text", "text": "x", **({"cache_control": mark} if mark else {})}
        for mark in marks or (None,)
    ]
    return {"role": role, "content": blocks}


def request(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    tools = [{"name": "f"}, {"name": "g"}]
    return {"model": "m", "system": "Be kind.", "tools": tools, "messages": [*messages], **fields}


def marks(body: dict[str, Any]) -> dict[str, str]:
    """Where breakpoints are, with how long they last."""
    system = body["system"] if isinstance(body["system"], list) else []
    places = {f"tools.{number}": tool for number, tool in enumerate(body["tools"])}
    places |= {f"system.{number}": block for number, block in enumerate(system)}
    for number, message in enumerate(body["messages"]):
        places |= {f"{number}.{place}": block for place, block in enumerate(message["content"])}
    return {
        place: entry["cache_control"].get("ttl", "5m")
        for place, entry in places.items()
        if "cache_control" in entry
    }


USER, MODEL = said("user"), said("assistant")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (request(USER), {"0.0": "5m", "system.0": "5m", "tools.1": "5m"}),
        (
            request(USER, MODEL, USER, MODEL, said("user", None, None)),
            {"4.1": "5m", "2.0": "5m", "system.0": "5m", "tools.1": "5m"},
        ),
        (request(USER, MODEL, USER, system="", tools=[]), {"2.0": "5m", "0.0": "5m"}),
        (  # the caller's own come first, and so does what is newer
            request(said("user", OWN, OWN), MODEL, said("user", OWN, OWN), MODEL, said("user", OWN, OWN)),
            {"4.0": "5m", "4.1": "5m", "2.0": "5m", "2.1": "5m"},
        ),
        (
            request(said("user", OWN), MODEL, USER),
            {"0.0": "5m", "2.0": "5m", "system.0": "5m", "tools.1": "5m"},
        ),
        (  # the provider places one by itself
            request(USER, MODEL, USER, cache_control=OWN),
            {"0.0": "5m", "system.0": "5m", "tools.1": "5m"},
        ),
        (  # what lasts longer must not come after what lasts less
            request(said("user", HOUR), MODEL, USER),
            {"0.0": "1h", "2.0": "5m", "system.0": "1h", "tools.1": "1h"},
        ),
    ],
)
def test_places(body: dict[str, Any], expected: dict[str, str]) -> None:
    assert marks(with_breakpoints(body, ours=True)) == expected


def test_opting_out_leaves_the_callers_own_up_to_four() -> None:
    own = said("user", OWN)
    body = request(own, MODEL, own, MODEL, own, MODEL, own, MODEL, own)
    before = marks(body)
    assert marks(with_breakpoints(body, ours=False)) == {"2.0": "5m", "4.0": "5m", "6.0": "5m", "8.0": "5m"}
    assert marks(body) == before  # the stored messages stay as they were
