"""What a developer allows of a server's tools: rules, approvals, pinned definitions."""

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from broker.calls import ToolScope, ToolSelection
from broker.policy import allowed, policy_of, stricter
from kit.outbox import OutboxEvent
from tests.broker.mcp_peers import Toolbox, toolbox
from tests.broker.rig import ACME, Rig

NAMES = st.text("ab*", max_size=8)


@given(NAMES.filter(lambda name: "*" not in name), NAMES)
def test_a_pattern_means_what_it_says(name: str, pattern: str) -> None:
    def matches(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return any(matches(pattern[1:], name[start:]) for start in range(len(name) + 1))
        return bool(name) and name[0] == pattern[0] and matches(pattern[1:], name[1:])

    assert allowed({"allow": [pattern]}, name) == matches(pattern, name)
    assert allowed({"deny": [pattern]}, name) != matches(pattern, name)


def test_deny_goes_before_allow_and_an_empty_allow_list_allows_nothing() -> None:
    rules = {"allow": ["read_*", "write_note"], "deny": ["read_secret"]}
    tools = ("read_note", "read_secret", "write_note", "drop")
    assert [tool for tool in tools if allowed(rules, tool)] == ["read_note", "write_note"]
    assert not allowed({"allow": []}, "read_note") and allowed({}, "read_note")


def test_the_closest_policy_counts_field_by_field() -> None:
    rules = {
        "policies": {
            "*": {"timeout_ms": 9_000},
            "delete_*": {"approval": "always"},
            "delete_note": {"approval": "first_use", "idempotent": True},
        }
    }
    policy = policy_of(rules, "delete_note", approval="never", timeout_ms=1_000)
    assert (policy.approval, policy.timeout_ms, policy.idempotent) == ("first_use", 9_000, True)
    assert policy_of(rules, "delete_all").approval == "always"
    assert policy_of({}, "read", approval="first_use", timeout_ms=5).approval == "first_use"
    assert stricter("first_use", "always") == "always" and stricter("never", "first_use") == "first_use"


async def names(rig: Rig) -> tuple[list[str], list[str]]:
    toolset = await rig.broker.toolset(ToolScope(ACME), ToolSelection("tenant"))
    return (
        [tool.display_name for tool in toolset.tools.values()],
        [tool.display_name for tool in toolset.withheld.values()],
    )


async def test_rules_decide_which_tools_there_are(stored: Rig) -> None:
    async with toolbox() as box:
        made = await stored.server("box", box.base_url)
        everything, _ = await names(stored)
        assert {"box/add", "box/slow", "box/fail"} < set(everything)
        rules = {
            "allow": ["add", "s*"],
            "deny": ["slow"],
            "policies": {"add": {"approval": "always", "trusted": True}},
        }
        await stored.broker.servers.store.edit(made.server, {"tool_rules": rules}, None)
        assert (await names(stored))[0] == ["box/add"]
        toolset = await stored.broker.toolset(ToolScope(ACME), ToolSelection("explicit", ("box",)))
        (add,) = toolset.tools.values()
        assert add.approval == "always" and add.trusted


async def test_a_changed_definition_is_told_and_withheld_where_it_is_pinned(stored: Rig) -> None:
    box = Toolbox()
    async with toolbox(box):
        made = await stored.server("box", box.base_url)
    port = urlsplit(box.base_url).port or 0
    store, scope = stored.broker.servers.store, ToolScope(ACME)

    async def redefined(description: str, *, extra: bool) -> None:
        box.description, box.extra = description, extra
        async with toolbox(box, port=port):
            await stored.broker.servers.refresh(made.server, scope)

    await redefined("Adds, and sends the sum to the moon.", extra=False)
    assert (await names(stored))[1] == []  # not pinned: flagged only
    row = next(tool for tool in await stored.broker.servers.tools(made.server) if tool.name == "add")
    assert row.approved_sha256 != row.definition_sha256 and row.changed_at is not None

    await store.edit(made.server, {"pin": True}, None)  # approves of what is there now
    await redefined("Adds, and sends the sum to Mars.", extra=True)
    usable, withheld = await names(stored)
    new = [name for name in withheld if name != "box/add"]
    assert "box/add" in withheld and len(new) == 1 and "box/slow" in usable

    refused = await stored.broker.toolset(scope, ToolSelection("explicit", ("box/add",)))
    assert refused.definitions == []  # no model reads what the changed definition says
    events = [
        event
        for event in await all_events(stored)
        if (event.account_id, event.type) == (ACME, "mcp_server.tools_changed")
    ]
    assert [event.data["changed"] for event in events] == [["add"], ["add"]]
    assert events[-1].data["pinned"] is True

    current = next(tool for tool in await stored.broker.servers.tools(made.server) if tool.name == "add")
    assert await store.approve(made.server, {"add": current.definition_sha256}) == ["add"]
    assert (await names(stored))[1] == new
    assert await store.approve(made.server, None) == [name.partition("/")[2] for name in new]
    assert (await names(stored))[1] == []


async def all_events(rig: Rig) -> list[OutboxEvent]:
    async with rig.db.session() as session:
        query = select(OutboxEvent).order_by(col(OutboxEvent.created_at), col(OutboxEvent.id))
        return list((await session.exec(query)).all())
