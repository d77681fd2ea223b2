"""Creating events in Google Calendar (Calendar API v3: Events: insert), whose id we choose, so that an event
is created once; OAuth 2.0 for Web Server Applications: Refreshing an access token."""

from typing import Any

from broker.builtins.answers import at, picked, segment
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.email_message import ADDRESS
from broker.builtins.failures import BuiltinFailed, Unauthorized
from broker.builtins.fields import fields, flag, secret, text, texts

API = "https://www.googleapis.com/calendar/v3/calendars"
TOKENS = "https://oauth2.googleapis.com/token"
MOMENT = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$"
CONFLICT = 409


async def run(call: Invocation) -> Any:
    calendar = segment(call.input.get("calendar_id") or call.config.get("calendar_id", "primary"))
    zone = call.input.get("time_zone") or call.config.get("time_zone")
    event: dict[str, Any] = {
        "id": call.idempotency_key,  # hexadecimal digits are a part of the base32hex alphabet
        **call.given("summary", "description", "location"),
        "start": _moment(call.input["start"], zone),
        "end": _moment(call.input["end"], zone),
    }
    if call.input.get("attendees"):
        event["attendees"] = [{"email": address} for address in call.input["attendees"]]
    headers = call.own or {"authorization": f"Bearer {await _access_token(call)}"}
    try:
        answer = await call.http.ask(
            "POST",
            f"{API}/{calendar}/events",
            params={"sendUpdates": "all" if call.input.get("invite") else "none"},
            json=event,
            headers=headers,
            errors=("error.message",),
            repeatable=True,
        )
    except BuiltinFailed as failure:
        if failure.status != CONFLICT:
            raise
        answer = await call.http.ask(
            "GET",
            f"{API}/{calendar}/events/{call.idempotency_key}",
            headers=headers,
            errors=("error.message",),
        )
    return picked(answer, id="id", url="htmlLink", status="status", start="start", end="end")


def _moment(at_time: str, zone: str | None) -> dict[str, str]:
    if "T" not in at_time:
        return {"date": at_time}
    return {"dateTime": at_time, **({"timeZone": zone} if zone else {})}


async def _access_token(call: Invocation) -> str:
    """A fresh token of the developer's own account."""
    names = ("client_id", "client_secret", "refresh_token")
    try:
        answer = await call.http.ask(
            "POST",
            TOKENS,
            form={"grant_type": "refresh_token", **{name: call.config[name] for name in names}},
            errors=("error_description", "error"),
            repeatable=True,
        )
    except BuiltinFailed as failure:
        if failure.status == 400:
            raise Unauthorized(failure.message, status=400) from None
        raise
    return str(at(answer, "access_token"))


TOOL = Builtin(
    slug="google-calendar-event",
    display_name="Google Calendar event",
    brand="Google",
    description="Creates an event in Google Calendar.",
    input_schema=fields(
        "summary",
        "start",
        "end",
        summary=text("The title", most=1_024),
        start=text(
            "When it starts: 2026-03-01T14:00:00+01:00, or a date for whole days", most=25, pattern=MOMENT
        ),
        end=text(
            "When it ends, in the same form; of whole days, the day after the last", most=25, pattern=MOMENT
        ),
        time_zone=text("IANA time zone of start and end if they have no offset", most=64),
        description=text("The description", most=8_192),
        location=text("Where it takes place", most=1_024),
        attendees={
            **texts("E-mail addresses of who takes part", each=254),
            "items": {"type": "string", "maxLength": 254, "pattern": ADDRESS},
        },
        invite=flag("Whether those who take part are told by e-mail"),
        calendar_id=text("The calendar; the configured one, or the main one, if left out", most=254),
    ),
    config_schema=fields(
        "client_id",
        "client_secret",
        "refresh_token",
        client_id=text("OAuth client id", most=500),
        client_secret=secret("OAuth client secret"),
        refresh_token=secret("Refresh token with the scope calendar.events"),
        calendar_id=text("Calendar for events that name none", most=254),
        time_zone=text("IANA time zone of events that name none", most=64),
    ),
    run=run,
    retry_safe=True,
    connector="google",
    tenant_only=frozenset({"client_id"}),
)
