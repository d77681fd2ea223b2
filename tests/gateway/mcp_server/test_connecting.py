"""A call that needs an account which its end user has not connected."""

from typing import Any

import mcp_types
import pytest
import pytest_asyncio
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError

from tests.gateway.mcp_server.rig import ERAS, LEGACY, MODERN, Mall, Opener, client, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADD = ("notes__add_note", {"text": "buy milk"})


@pytest_asyncio.fixture(loop_scope="module")
async def mall(shared_mall: Mall) -> Mall:
    await shared_mall.notes_known()
    return shared_mall


async def test_a_client_that_opens_pages_goes_on_by_itself(mall: Mall) -> None:
    async def in_the_browser(url: str) -> None:
        await mall.connect(url, "eve")

    user = Opener(on_url=in_the_browser)
    key = await mall.key(end_user_id="eve")
    async with client(mall, key, MODERN, elicitation_callback=user) as connected:
        added = await connected.call_tool(*ADD)
        again = await connected.call_tool(*ADD)
    assert text_of(added) == "Noted for eve: buy milk"
    assert not again.is_error and len(user.asked) == 1
    assert "notes" in user.asked[0].message and user.asked[0].url.startswith(mall.shop.heddle.url)


async def test_a_user_who_declines_is_no_error_of_the_protocol(mall: Mall) -> None:
    user = Opener("decline")
    key = await mall.key(end_user_id="dora")
    async with client(mall, key, MODERN, elicitation_callback=user) as connected:
        result = await connected.call_tool(*ADD)
    assert result.is_error and "did not want to connect notes" in text_of(result)


async def test_who_has_not_connected_yet_is_asked_again_with_the_same_page(mall: Mall) -> None:
    key = await mall.key(end_user_id="slow")
    async with client(mall, key, MODERN, elicitation_callback=Opener()) as connected:
        first = await ask(connected, *ADD)
        request = first.input_requests["connect"]
        second = await ask(connected, *ADD, state=first.request_state, answer="accept")
        assert second.input_requests["connect"].params.url == request.params.url
        await mall.connect(request.params.url, "slow")
        third = await ask(connected, *ADD, state=second.request_state, answer="accept")
    assert text_of(third) == "Noted for slow: buy milk"


async def test_a_state_is_good_for_its_key_its_end_user_and_its_call_only(mall: Mall) -> None:
    owner, other = await mall.key(end_user_id="o"), await mall.key(end_user_id="o")
    loose = await mall.key()
    async with client(mall, owner, MODERN, elicitation_callback=Opener()) as connected:
        state = (await ask(connected, *ADD)).request_state
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await ask(connected, "notes__add_note", {"text": "another"}, state=state, answer="accept")
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await ask(connected, *ADD, state=state[:-3] + "AAA", answer="accept")
    assert "connect" not in state  # sealed, not only signed
    for key, headers in ((other, {}), (loose, {"x-heddle-end-user-id": "o"})):
        async with client(mall, key, MODERN, headers, elicitation_callback=Opener()) as connected:
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await ask(connected, *ADD, state=state, answer="accept")
    ones, others = ({"x-heddle-end-user-id": name} for name in ("one", "other"))
    async with client(mall, loose, MODERN, ones, elicitation_callback=Opener()) as connected:
        state = (await ask(connected, *ADD)).request_state
    async with client(mall, loose, MODERN, others, elicitation_callback=Opener()) as connected:
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await ask(connected, *ADD, state=state, answer="accept")


async def test_an_older_client_that_opens_pages_is_told_by_an_error(mall: Mall) -> None:
    key = await mall.key(end_user_id="lea")
    async with client(mall, key, LEGACY, elicitation_callback=Opener()) as connected:
        with pytest.raises(MCPError) as raised:
            await connected.call_tool(*ADD)
        assert raised.value.code == mcp_types.URL_ELICITATION_REQUIRED
        (asked,) = UrlElicitationRequiredError.from_error(raised.value.error).elicitations
        assert asked.elicitation_id
        await mall.connect(asked.url, "lea")
        added = await connected.call_tool(*ADD)
    assert text_of(added) == "Noted for lea: buy milk"


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_opens_none_gets_the_page_in_the_result(mall: Mall, era: str) -> None:
    key = await mall.key(end_user_id=f"plain {era}")
    async with client(mall, key, era) as connected:
        result = await connected.call_tool(*ADD)
    assert result.is_error and f"{mall.shop.heddle.url}/connect/" in text_of(result)


async def ask(
    connected: Any, name: str, arguments: dict[str, Any], *, state: str | None = None, answer: Any = None
) -> Any:
    """One round of a call by hand."""
    responses = {"connect": mcp_types.ElicitResult(action=answer)} if answer else None
    return await connected.session.call_tool(
        name, arguments, input_responses=responses, request_state=state, allow_input_required=True
    )
