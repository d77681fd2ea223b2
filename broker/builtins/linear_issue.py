"""Creating issues in Linear (Linear developer documentation: GraphQL, issueCreate)."""

from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed, Unauthorized
from broker.builtins.fields import fields, secret, text, texts

URL = "https://api.linear.app/graphql"
UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
MUTATION = (
    "mutation($input: IssueCreateInput!) "
    "{ issueCreate(input: $input) { success issue { id identifier url title } } }"
)
PLACES = ("errors.0.extensions.userPresentableMessage", "errors.0.message")


async def run(call: Invocation) -> Any:
    wanted = {
        "teamId": call.setting("team_id"),
        **{theirs: call.input[ours] for ours, theirs in _NAMES.items() if call.input.get(ours) is not None},
    }
    answer = await call.http.ask(
        "POST",
        URL,
        json={"query": MUTATION, "variables": {"input": wanted}},
        headers=call.own or {"authorization": call.config["api_key"]},
        errors=PLACES,
    )
    if at(answer, "errors"):  # GraphQL tells of failures with status 200
        said = next((str(found) for place in PLACES if (found := at(answer, place))), "no reason was given")
        if at(answer, "errors.0.extensions.code") == "AUTHENTICATION_ERROR":
            raise Unauthorized(f"Linear does not accept the credentials: {said[:300]}", status=401)
        raise BuiltinFailed(f"Linear refused the issue: {said[:500]}", status="refused")
    return picked(at(answer, "data.issueCreate.issue"), identifier="identifier", url="url", id="id")


_NAMES = {
    "title": "title",
    "description": "description",
    "priority": "priority",
    "label_ids": "labelIds",
    "assignee_id": "assigneeId",
}

TOOL = Builtin(
    slug="linear-issue",
    aliases=("linear-create-issue", "linear"),
    display_name="Linear issue",
    brand="Linear",
    description="Creates an issue in Linear.",
    input_schema=fields(
        "title",
        title=text("The title", most=255),
        description=text("The description, in markdown", most=100_000),
        team_id=text("Id (UUID) of the team; the configured one if left out", most=36, pattern=UUID),
        priority={
            "type": "integer",
            "minimum": 0,
            "maximum": 4,
            "description": "0 none, 1 urgent, 2 high, 3 normal, 4 low",
        },
        label_ids=texts("Ids of labels", each=36),
        assignee_id=text("Id of who is to do it", most=36, pattern=UUID),
    ),
    config_schema=fields(
        "api_key",
        api_key=secret("Personal API key of Linear"),
        team_id=text("Id (UUID) of the team for issues that name none", most=36, pattern=UUID),
    ),
    run=run,
    retry_safe=False,
    connector="linear-api",
)
