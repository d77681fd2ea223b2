"""A built-in's configuration: checked against its schema, and parted into what may be read and what may not.

Invariant: a value of format ``password`` is only ever in ``ToolConfig.secret``, which goes to the vault and
nowhere else; no error names one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import msgspec

from broker.builtins.builtin import Builtin
from kit.errors import InvalidRequest
from kit.json import NOT_JSON
from kit.outbound import OutboundPolicy

MAX_CONFIG_BYTES = 64 * 1024
MASK = "the value"


@dataclass(frozen=True)
class ToolConfig:
    """``public`` may be shown, ``secret`` may not."""

    public: dict[str, Any]
    secret: dict[str, Any] = field(repr=False)

    @property
    def values(self) -> dict[str, Any]:
        return {**self.public, **self.secret}


def read_config(
    builtin: Builtin, auth_mode: str, given: Mapping[str, Any], policy: OutboundPolicy
) -> ToolConfig:
    """Check a whole configuration. Raises InvalidRequest naming the field."""
    schema = builtin.config_schema_for(auth_mode)
    own = {*builtin.secret_fields, *builtin.tenant_only} & given.keys()
    if own - schema["properties"].keys():
        raise InvalidRequest(
            f"config.{min(own)}: end users bring their own credentials to this tool; "
            "expected it left out, or auth_mode tenant",
            param="config",
        )
    values = {name: _parsed(schema, name, value) for name, value in given.items() if value is not None}
    if len(msgspec.json.encode(values)) > MAX_CONFIG_BYTES:
        raise InvalidRequest(f"config: larger than {MAX_CONFIG_BYTES} bytes", param="config")
    for error in jsonschema_rs.Draft202012Validator(schema, mask=MASK).iter_errors(values):
        place = ".".join(["config", *(str(part) for part in error.instance_path)])
        raise InvalidRequest(f"{place}: {error.message[:300]}", param=place)
    if builtin.check is not None:
        builtin.check(values, policy)
    secret = {name: value for name, value in values.items() if name in builtin.secret_fields}
    return ToolConfig({name: value for name, value in values.items() if name not in secret}, secret)


def edited(config: ToolConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with changes in it: a null takes a value away; of a set of secrets, which nobody can
    read back, the named ones change."""
    values = config.values
    for name, value in changes.items():
        if name in config.secret and isinstance(config.secret[name], dict) and isinstance(value, dict):
            kept = {**config.secret[name], **value}
            value = {key: item for key, item in kept.items() if item is not None}
        values[name] = value
    return values


def _parsed(schema: Mapping[str, Any], name: str, value: Any) -> Any:
    """Objects and arrays come as JSON text too, as forms send them."""
    types = schema["properties"].get(name, {}).get("type")
    wanted = types if isinstance(types, list) else [types]
    if not isinstance(value, str) or "string" in wanted or not {"object", "array"} & set(wanted):
        return value
    try:
        return msgspec.json.decode(value)
    except NOT_JSON:
        kinds = " or ".join(kind for kind in wanted if kind)
        raise InvalidRequest(
            f"config.{name}: expected {kinds}, as JSON or as its text", param=f"config.{name}"
        ) from None
