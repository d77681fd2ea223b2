"""docs/sim.md tells what the code does."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from gateway.sim import directives
from gateway.sim.conversation import MODELS
from gateway.sim.directives import Directives, read_directives
from gateway.sim.grammar import parse_plan

PAGE = (Path(__file__).parents[3] / "docs" / "sim.md").read_text()
ROWS = re.findall(r"^\| `([a-z-]+)(?:=([^`]+))?` \| ", PAGE, re.MULTILINE)


def test_every_directive_has_a_row() -> None:
    documented = {name.replace("-", "_") for name, _ in ROWS}
    assert documented == {field.name.removesuffix("_ms") for field in fields(Directives)}


@pytest.mark.parametrize(("name", "value"), ROWS)
def test_every_documented_directive_is_read(name: str, value: str) -> None:
    word = f"{name}={value}" if value else name
    assert read_directives(f"[sim: {word}]") != Directives()
    assert directives.__doc__ is not None
    assert f"``{word}``" in directives.__doc__


def test_every_documented_call_is_read() -> None:
    examples = [line for line in PAGE.splitlines() if line.startswith("use ")]
    assert len(examples) == 4
    for example in examples:
        assert sum(len(calls) for calls in parse_plan(example, ["add_note"])) == len(
            re.findall(r"get_weather|convert|add_note", example)
        )


def test_every_model_is_named() -> None:
    for name, model in MODELS.items():
        assert f"`{name}`" in PAGE
        assert f"{model.max_output_tokens:,}" in PAGE
