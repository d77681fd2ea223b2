"""How far the estimate of a request's input tokens lies from what its provider counted.

``python -m bench.token_estimate [folder]`` reads recorded exchanges (``<provider>/<name>.json``, each with
the ``url`` and ``body`` of its request and the ``status``, ``content_type`` and ``body`` of its answer) and
prints the ratios of estimate to count as Markdown tables; then how long an estimate takes.
"""

import argparse
import json
import re
import timeit
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from gateway.inference.estimate import InputEstimate, estimate_input, family_of

RECORDED = Path(__file__).parents[2] / "shared" / "recorded"
_PLACES = {
    "anthropic": ("anthropic", "anthropic"),
    "anthropic-count": ("anthropic", "anthropic"),
    "google": ("google", "google"),
    "openai-chat": ("openai-chat", "openai"),
    "openai-embeddings": ("openai-chat", "openai"),
    "openai-responses": ("openai-responses", "openai"),
}
"""Folders that are not the name of a provider of the OpenAI Chat dialect: dialect and provider."""
_CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True)
class Exchange:
    """A recorded call whose provider told its input tokens."""

    name: str
    folder: str
    dialect: str
    provider: str
    model: str
    body: Mapping[str, Any]
    input_tokens: int

    def estimate(self) -> InputEstimate:
        return estimate_input(self.body, family_of(self.dialect, self.provider, self.model))

    def ratio(self) -> float:
        return self.estimate().bound(None) / self.input_tokens


def exchanges(folder: Path) -> list[Exchange]:
    """The recorded exchanges below a folder that tell how many tokens their requests had."""
    return [exchange for path in sorted(folder.glob("*/*.json")) if (exchange := _read(path)) is not None]


def _read(path: Path) -> Exchange | None:
    recorded = json.loads(path.read_text(encoding="utf-8"))
    request, answer = recorded["request"], recorded["response"]
    body, folder = request["body"], path.parent.name
    if answer["status"] != 200 or not isinstance(body, dict):
        return None
    counts = [count for said in _objects(answer) for count in _counts(said)]
    if not any(counts):
        return None
    dialect, provider = _PLACES.get(folder, ("openai-chat", folder))
    named = re.search(r"/models/([^:/]+)", request["url"])
    model = str(body.get("model") or (named[1] if named else ""))
    return Exchange(path.name, folder, dialect, provider, model, body, max(counts))


def _objects(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The JSON objects of an answer, streamed or whole."""
    streamed = "event-stream" in (answer["content_type"] or "")
    lines = [line[5:] for line in answer["body"].splitlines() if line.startswith("data:")]
    for text in lines if streamed else [answer["body"]]:
        try:
            said = json.loads(text)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield said


def _counts(said: Mapping[str, Any]) -> Iterator[int]:
    """Input tokens, cached ones too, wherever the dialects put them."""
    if "input_tokens" in said:
        yield said["input_tokens"]
    inner = [said.get(name) for name in ("message", "response", "x_groq")]
    for holder in [said, *(each for each in inner if isinstance(each, dict))]:
        usage = holder.get("usage") or holder.get("usageMetadata")
        if not isinstance(usage, dict):
            continue
        usage = usage.get("tokens") or usage
        if "promptTokenCount" in usage:
            yield usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
        for name in ("prompt_tokens", "input_tokens"):
            if usage.get(name) is not None:
                yield int(usage[name]) + sum(usage.get(cached) or 0 for cached in _CACHED)


def table(found: Sequence[Exchange]) -> str:
    """Ratios of estimate to count by folder, as Markdown."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for exchange in found:
        ratios[exchange.folder].append(exchange.ratio())
    everything = [ratio for each in ratios.values() for ratio in each]
    lines = [
        "| provider | exchanges | mean | median | worst | under |",
        "|---|--:|--:|--:|--:|--:|",
        *(_row(folder, each) for folder, each in sorted(ratios.items())),
        _row("**all**", everything),
    ]
    return "\n".join(lines)


def _row(name: str, ratios: Sequence[float]) -> str:
    under = sum(ratio < 1 for ratio in ratios)
    share = f"{under} ({under / len(ratios):.1%})" if under else "0"
    cells = (f"{value:,.2f}" for value in (fmean(ratios), median(ratios), max(ratios)))
    return f"| {name} | {len(ratios)} | {' | '.join(cells)} | {share} |"


_PROSE = "The loom stood by the window, and whoever wanted cloth came early in the year to ask for it. "
_TOOL = {
    "name": "order_cloth",
    "description": "Orders cloth from the weaver.",
    "input_schema": {
        "type": "object",
        "properties": {"yards": {"type": "number"}, "dye": {"type": "string", "enum": ["red", "blue"]}},
        "required": ["yards"],
    },
}


def _talk(messages: int, length: int) -> dict[str, Any]:
    text = (_PROSE * (length // len(_PROSE) + 1))[:length]
    return {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": text}] * messages}


TIMED = {
    "1 KB, one message": _talk(1, 930),
    "1 KB, six messages": _talk(6, 120),
    "1 KB, two tools": {**_talk(1, 400), "tools": [_TOOL] * 2},
    "100 KB, one message": _talk(1, 100_000),
    "100 KB, 100 messages": _talk(100, 960),
    "100 KB, 400 tools": {**_talk(1, 900), "tools": [_TOOL] * 400},
}


def microseconds(body: Mapping[str, Any]) -> float:
    """What one estimate takes, at best."""
    family = family_of("anthropic", "anthropic", "claude-sonnet-4-6")
    timer = timeit.Timer(lambda: estimate_input(body, family))
    loops, _ = timer.autorange()
    return min(timer.repeat(9, max(1, loops // 5))) / max(1, loops // 5) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=RECORDED)
    found = exchanges(parser.parse_args().folder)
    for title, part in (
        ("Told from the request alone", [each for each in found if not each.estimate().set_aside]),
        ("With something set aside", [each for each in found if each.estimate().set_aside]),
    ):
        print(f"\n{title}:\n\n{table(part) if part else '(none)'}")
    print("\n| request | µs |\n|---|--:|")
    for name, body in TIMED.items():
        print(f"| {name} | {microseconds(body):,.0f} |")


if __name__ == "__main__":
    main()
