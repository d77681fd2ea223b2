"""Tools listed and called by the official client, in both ages of the protocol."""

import pytest

from tests.gateway.mcp_server.rig import ERAS, Mall, client, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("era", ERAS)
async def test_tools_are_listed_with_safe_names_titles_and_hints(shared_mall: Mall, era: str) -> None:
    async with client(shared_mall, mode=era) as connected:
        tools = {tool.name: tool for tool in (await connected.list_tools()).tools}
    assert {"box__add", "box__count", "search__query"} <= set(tools)
    assert not any(name.startswith("notes") for name in tools)  # there is no end user
    add = tools["box__add"]
    assert (add.title, add.description) == ("box/add", "Adds.")
    assert add.annotations is not None and add.annotations.idempotent_hint is True
    assert tools["box__slow"].annotations is not None
    assert tools["box__slow"].annotations.idempotent_hint is None
    assert set(add.input_schema["properties"]) == {"a", "b"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_answers_with_content_and_structured_content(shared_mall: Mall, era: str) -> None:
    async with client(shared_mall, mode=era) as connected:
        added = await connected.call_tool("box__add", {"a": 2, "b": 3})
        kinds = await connected.call_tool("box__kinds", {})
        failed = await connected.call_tool("box__fail", {})
        wrong = await connected.call_tool("box__add", {"a": "two"})
    assert (text_of(added), added.structured_content) == ("5", {"result": 5})
    assert not added.is_error
    assert [block.type for block in kinds.content] == ["text", "image", "text", "text", "text"]
    assert failed.is_error and "the printer is on fire" in text_of(failed)
    assert wrong.is_error and "do not fit the tool's schema" in text_of(wrong)
