"""What time it is, anywhere."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, text


async def run(call: Invocation) -> Any:
    name = call.input.get("time_zone") or call.config.get("time_zone", "UTC")
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BuiltinFailed(
            f'There is no time zone "{name}"; expected an IANA name such as Europe/Berlin.',
            status="unknown_zone",
        ) from None
    now_ms = call.services.clock.now_ms()
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    return {
        "time": now.isoformat(timespec="seconds"),
        "time_zone": name,
        "weekday": now.strftime("%A"),
        "unix_ms": now_ms,
    }


TOOL = Builtin(
    slug="current-time",
    display_name="Current time",
    brand=None,
    description="Tells the current date and time in a time zone.",
    input_schema=fields(time_zone=text("IANA time zone, such as Europe/Berlin", most=64)),
    config_schema=fields(time_zone=text("Time zone if none is asked for; UTC if left out", most=64)),
    run=run,
    retry_safe=True,
)
