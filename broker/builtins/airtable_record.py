"""Creating records in Airtable (Airtable Web API: Create records)."""

from typing import Any

from broker.builtins.answers import at, picked, segment
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import fields, flag, secret, text

API = "https://api.airtable.com/v0"
BASE = "^app[A-Za-z0-9]{10,20}$"


async def run(call: Invocation) -> Any:
    base, table = segment(call.setting("base_id")), segment(call.setting("table"))
    answer = await call.http.ask(
        "POST",
        f"{API}/{base}/{table}",
        json={
            "records": [{"fields": call.input["fields"]}],
            "typecast": call.config.get("typecast", True),
        },
        headers=call.own or {"authorization": f"Bearer {call.config['access_token']}"},
        errors=("error.message", "error"),
    )
    return picked(at(answer, "records.0"), id="id", created_at="createdTime", fields="fields")


TOOL = Builtin(
    slug="airtable-record",
    display_name="Airtable record",
    brand="Airtable",
    description="Adds a record to a table in Airtable.",
    input_schema=fields(
        "fields",
        fields={
            "type": "object",
            "description": "Values by the names of the table's fields",
            "minProperties": 1,
        },
        base_id=text("Id of the base; the configured one if left out", most=23, pattern=BASE),
        table=text("Name or id of the table; the configured one if left out", most=255),
    ),
    config_schema=fields(
        "access_token",
        access_token=secret("Personal access token of Airtable with data.records:write"),
        base_id=text("Base for records that name none", most=23, pattern=BASE),
        table=text("Table for records that name none", most=255),
        typecast=flag("Whether texts are made into a field's type; true if left out"),
    ),
    run=run,
    retry_safe=False,
    connector="airtable-api",
)
