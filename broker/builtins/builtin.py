"""What a built-in tool is: a description for developers and models, and one function that does the work."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import PASSWORD, Schema
from broker.builtins.images import ImageMaker
from broker.calls import ToolScope
from broker.metering import Payment
from kit.clock import Clock
from kit.outbound import OutboundPolicy

PREFIX = "qlaud-builtin/"
TENANT: Literal["tenant"] = "tenant"
PER_USER: Literal["per_user"] = "per_user"
AuthMode = Literal["tenant", "per_user"]


@dataclass(frozen=True)
class Made:
    """An output that models are not shown as it is: ``text`` goes to them instead."""

    output: Any
    text: str


class VendorHttp(Protocol):
    """Requests to the vendor of one call. Implemented by ``broker.builtins.vendor_http``."""

    async def ask(
        self,
        method: str,
        url: str,
        *,
        errors: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Any:
        """The JSON of a successful answer, None if it is empty. ``errors``: where in the JSON of another one
        the vendor says what is wrong: every text counts; of other values those whose place ends in ``*``, or
        the first one if there is no text. ``repeatable``: whether a request may be sent a second time; by
        default, one that only reads. Raises BuiltinFailed, Unauthorized."""
        ...

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        repeatable: bool | None = None,
    ) -> "Answer":
        """Any answer at all. Raises BuiltinFailed if there is none."""
        ...


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Services:
    """What built-ins use of the house, besides HTTP."""

    clock: Clock
    policy: OutboundPolicy
    images: ImageMaker | None = None


@dataclass(frozen=True)
class Invocation:
    """One call of a built-in, with everything that it may use. ``config`` holds the secrets too; ``own`` is
    what a request must carry to act as the end user, if the tool does."""

    input: Mapping[str, Any]
    config: Mapping[str, Any] = field(repr=False)
    own: Mapping[str, str] | None = field(repr=False)
    scope: ToolScope
    payment: Payment
    idempotency_key: str
    """The same for every attempt at one call, and another one for any other call."""
    http: VendorHttp
    services: Services

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the named inputs that the model gave."""
        return {name: self.input[name] for name in names if self.input.get(name) is not None}

    def setting(self, name: str) -> str:
        """What the model gave, else the configured default. Raises BuiltinFailed if there is neither."""
        value = self.input.get(name) or self.config.get(name)
        if value is None:
            raise BuiltinFailed(f"{name} is missing: give it, for no default is configured")
        return str(value)


Run = Callable[[Invocation], Awaitable[Any]]


@dataclass(frozen=True)
class Builtin:
    """An entry of the catalogue. ``input_schema`` and ``config_schema`` are JSON Schemas of objects; config
    values of format ``password`` are secrets."""

    slug: str
    display_name: str
    brand: str | None
    description: str
    input_schema: Schema
    config_schema: Schema
    run: Run
    retry_safe: bool
    """Whether a call may be repeated without harm."""
    connector: str | None = None
    """The catalogue entry by which end users connect, for a tool that can act as them."""
    tenant_only: frozenset[str] = frozenset()
    """Configuration besides the secrets that stands for the developer's own credentials."""
    timeout_ms: int = 30_000
    aliases: tuple[str, ...] = ()
    """Further names by which it can be registered."""
    check: Callable[[Mapping[str, Any], OutboundPolicy], None] | None = None
    """What a schema cannot say of a configuration. Raises InvalidRequest."""
    shown: Callable[[Schema, Mapping[str, Any]], Schema] | None = None
    """The input schema as models see it, where the configuration changes that."""
    retry_safe_with: Callable[[Mapping[str, Any]], bool] | None = None
    """``retry_safe``, where it depends on the configuration."""
    free_input: bool = False
    """Whether the developer decides what the inputs are."""

    @property
    def provider(self) -> str:
        return PREFIX + self.slug

    @property
    def auth_modes(self) -> tuple[AuthMode, ...]:
        return (TENANT, PER_USER) if self.connector is not None else (TENANT,)

    @property
    def secret_fields(self) -> frozenset[str]:
        properties = self.config_schema["properties"]
        return frozenset(name for name, field in properties.items() if field.get("format") == PASSWORD)

    def config_schema_for(self, auth_mode: str) -> Schema:
        """End users bring their own credentials, so that the developer's have no place beside them."""
        if auth_mode == TENANT:
            return self.config_schema
        left_out = self.secret_fields | self.tenant_only
        properties = self.config_schema["properties"]
        return {
            **self.config_schema,
            "properties": {name: field for name, field in properties.items() if name not in left_out},
            "required": [name for name in self.config_schema.get("required", []) if name not in left_out],
        }

    def is_retry_safe(self, config: Mapping[str, Any]) -> bool:
        return self.retry_safe if self.retry_safe_with is None else self.retry_safe_with(config)
