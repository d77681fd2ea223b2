"""Settings: ``heddle.toml``, overridden by ``HEDDLE_*`` environment variables, overridden by CLI options."""

import os
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from gateway.billing.stripe.settings import StripeSettings
from gateway.oauth_client_settings import OAuthClientSettings
from gateway.tool_results import ToolResultSettings
from kit.outbound import OutboundPolicy, parse_networks

DEFAULT_FILE = "heddle.toml"
Dialect = Literal["anthropic", "openai-chat", "openai-responses", "google", "elevenlabs", "deepgram"]
UsdPerUnit = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
UsdPerCall = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9, allow_inf_nan=False)]
"""Not less than a nano-USD: it would be rounded to nothing."""

DATABASE_FILE = "heddle.db"


class BadSettings(ValueError):
    """The settings cannot be used; the message is one line fit for a terminal."""


class ProviderSettings(BaseModel):
    """An extra provider, or changes to a known one: ``[providers.<name>]`` in heddle.toml."""

    model_config = ConfigDict(extra="forbid")

    dialect: Dialect | None = None
    base_url: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    api_keys: tuple[str, ...] = Field(default=(), repr=False)
    api_key_env: str | None = None
    connect_timeout_s: float | None = Field(default=None, gt=0)
    first_byte_timeout_s: float | None = Field(default=None, gt=0)
    idle_timeout_s: float | None = Field(default=None, gt=0)
    max_concurrent: int | None = Field(default=None, gt=0)
    quirks: dict[str, Any] = Field(default_factory=dict)
    tool_usd: dict[str, UsdPerUnit] = Field(default_factory=dict)
    """What each use of a tool costs that runs at the provider: ``tool_usd = { code_execution = "0.03" }``."""


class AliasTarget(BaseModel):
    """A model behind an alias. Targets with a weight share the first tries; all are fallbacks, in order."""

    model_config = ConfigDict(extra="forbid")

    model: str
    weight: float | None = Field(default=None, gt=0)


class AliasSettings(BaseModel):
    """A name for several models: ``[aliases.<name>]``."""

    model_config = ConfigDict(extra="forbid")

    targets: tuple[AliasTarget, ...] = Field(min_length=1)


class PriceSettings(BaseModel):
    """Prices in USD: tokens per million, all else per unit (``unit_usd = { image = "0.04" }``).

    Units that are billed beside the named ones: ``input_audio``, ``output_audio``, ``input_image``,
    ``output_image`` (tokens of that medium), ``image``, ``input_character``, ``audio_second``, ``request``,
    and the tools that run at the provider by name (``web_search``, ``code_execution``, …).
    """

    model_config = ConfigDict(extra="forbid")

    input_usd_per_mtok: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    output_usd_per_mtok: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_read_usd_per_mtok: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write_usd_per_mtok: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write_1h_usd_per_mtok: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    unit_usd: dict[str, UsdPerUnit] = Field(default_factory=dict)


class ModelSettings(PriceSettings):
    """A model's provider, limits and prices: ``[models."<id>"]``; ``tiers.<name>`` holds those prices that
    differ where the provider processes a call at another service tier."""

    provider: str
    upstream_model: str | None = None
    display_name: str | None = None
    context_window: int | None = Field(default=None, gt=0)
    max_output_tokens: int | None = Field(default=None, gt=0)
    vision: bool | None = None
    """Whether it takes images; unset: by its name."""
    tiers: dict[str, PriceSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_price(self) -> "ModelSettings":
        if self.input_usd_per_mtok is None and not self.unit_usd:
            raise ValueError("expected a price: input_usd_per_mtok (and output_usd_per_mtok), or unit_usd")
        return self


class McpServerSettings(BaseModel):
    """A stdio MCP server that the operator runs for all accounts: ``[mcp_servers.<name>]``."""

    model_config = ConfigDict(extra="forbid")

    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict, repr=False)


class Settings(BaseSettings):
    """Everything an installation can set. Every field is ``HEDDLE_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="HEDDLE_", extra="forbid", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=0, le=65535)
    public_url: str | None = None
    data_dir: Path = Path(".heddle")
    database_url: str | None = Field(default=None, repr=False)
    bootstrap_admin_key: str | None = Field(default=None, repr=False)
    key_prefix: str = Field(default="ak_live_", pattern=r"^[A-Za-z0-9_]{1,32}$")
    event_prefix: str = Field(default="qlaud", pattern=r"^[a-z][a-z0-9]{0,31}$")
    vault_keys: str | None = Field(default=None, repr=False)
    vault_key_file: Path | None = None
    vault_kms_key: str | None = Field(default=None, min_length=1)
    """The AWS KMS key that wraps the keys in the key file: id, ARN or alias."""
    allow_private_targets: str = ""
    starter_credit_usd: Decimal = Field(default=Decimal(5), ge=0, le=1_000_000)
    test_credit_usd: Decimal = Field(default=Decimal(1000), ge=0, le=1_000_000)
    low_balance_usd: Decimal = Field(default=Decimal(1), ge=0, le=1_000_000)
    markup: Decimal = Field(default=Decimal("0.07"), ge=0, le=10)
    cors_origins: str = "*"
    mcp_connect_wait_s: float = Field(default=45, ge=0, le=600, allow_inf_nan=False)
    """How long a call at ``/mcp`` waits for the connection that its end user has gone to make."""
    mcp_oauth_issuer: str | None = None
    """The authorization server whose tokens ``/mcp`` takes beside API keys."""
    mcp_oauth_end_user_claim: str = Field(default="sub", min_length=1)
    mcp_oauth_key_claim: str = Field(default="heddle_key_id", min_length=1)
    mcp_oauth_key_id: str | None = Field(default=None, pattern=r"^key_\w+$")
    """The API key that all tokens act through; unset: the one that a token's claim names."""
    mcp_oauth_scopes: str = Field(default="", pattern=r"^[\x21\x23-\x5b\x5d-\x7e ]*$")
    """What a token must have been granted, separated by spaces."""
    keep_alive_s: int = Field(default=75, ge=1, le=3600)
    catalog_dir: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    keep_deleted_threads_h: float = Field(default=1, ge=0, le=23, allow_inf_nan=False)
    search_embedding_model: str | None = Field(default=None, min_length=1)
    search_embedding_dimensions: int | None = Field(default=None, ge=1, le=16_000)
    """Asked of the model, if it can make shorter vectors than its usual ones."""
    max_request_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    max_upload_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    max_idempotent_answer_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    default_tools_mode: Literal["dynamic", "none"] = "dynamic"
    """Of a turn that says neither ``tools`` nor ``tools_mode``."""
    store_responses: bool = False
    """Whether a response of ``POST /v1/responses`` is stored whose request does not say."""
    max_running_jobs: int = Field(default=16, ge=1, le=1000)
    max_job_answer_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    keep_jobs_days: float = Field(default=7, gt=0, le=365, allow_inf_nan=False)
    metrics_token: str | None = Field(default=None, repr=False, min_length=16)
    operator_token: str | None = Field(default=None, repr=False, min_length=16)
    stripe_secret_key: str | None = Field(default=None, repr=False, pattern=r"^(sk|rk)_(test|live)_\w+$")
    stripe_webhook_secret: str | None = Field(default=None, repr=False, validate_default=True)
    stripe: StripeSettings = Field(default_factory=StripeSettings)
    max_tries: int = Field(default=3, ge=1, le=10)
    max_calls_per_webhook: int = Field(default=32, ge=1, le=10_000)
    """Under way at once, to one URL of an account."""
    sim: Literal["auto", "on", "off"] = "auto"
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    aliases: dict[str, AliasSettings] = Field(default_factory=dict)
    mcp_servers: dict[str, McpServerSettings] = Field(default_factory=dict)
    oauth_clients: dict[str, OAuthClientSettings] = Field(default_factory=dict)
    tool_usd: dict[str, UsdPerCall] = Field(default_factory=dict)
    """What a call of a tool of ``mcp_servers`` costs: ``"server/tool"``, or ``"server/*"`` for the rest."""
    tool_results: ToolResultSettings = Field(default_factory=ToolResultSettings)

    @field_validator("allow_private_targets")
    @classmethod
    def _networks(cls, text: str) -> str:
        try:
            parse_networks(text)
        except ValueError as error:
            raise ValueError(f"expected networks such as loopback or 10.0.0.0/8, {error}") from None
        return text

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _payments_arrive(cls, secret: str | None, others: ValidationInfo) -> str | None:
        if others.data.get("stripe_secret_key") is not None and not _parts(secret):
            raise ValueError(
                "needed beside stripe_secret_key: without the events that it verifies nothing that is paid "
                "would be credited"
            )
        return secret

    @field_validator("tool_usd", "tool_results")
    @classmethod
    def _of_known_servers(cls, value: Any, others: ValidationInfo) -> Any:
        for name in value.trusted if isinstance(value, ToolResultSettings) else value:
            server, _, tool = name.partition("/")
            if not tool:
                raise ValueError(f"expected names such as server/tool or server/*, got {name!r}")
            if server not in others.data.get("mcp_servers", {server: None}):
                raise ValueError(f"{name}: there is no server {server!r} under mcp_servers")
        return value

    @field_validator("public_url", "mcp_oauth_issuer")
    @classmethod
    def _http_url(cls, url: str | None) -> str | None:
        if url and not re.match(r"https?://[^/\s]+", url):
            raise ValueError("expected an address such as https://heddle.example.com")
        return url

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        for origin in (part.strip() for part in text.split(",")):
            if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin):
                raise ValueError(f"expected * or origins such as https://app.example.com, got {origin!r}")
        return text

    @field_validator("bootstrap_admin_key")
    @classmethod
    def _long_enough(cls, key: str | None) -> str | None:
        if key is not None and len(key) < 16:
            raise ValueError("must have at least 16 characters")
        return key

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)  # the environment wins over the file's values

    @property
    def stripe_webhook_secrets(self) -> tuple[str, ...]:
        """Several, separated by commas, while the endpoint's secret is rolled."""
        return _parts(self.stripe_webhook_secret)

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / DATABASE_FILE}"

    @property
    def allowed_origins(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",")]

    @property
    def resolved_public_url(self) -> str:
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - a comparison
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def outbound_policy(self) -> OutboundPolicy:
        return OutboundPolicy(parse_networks(self.allow_private_targets))


def _parts(text: str | None) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process.

    ``file`` defaults to ``heddle.toml`` in the working directory (or ``HEDDLE_FILE``) if it exists;
    ``overrides`` (command-line options) win over everything. Raises BadSettings with one clear line.
    """
    named = file or (Path(os.environ["HEDDLE_FILE"]) if os.environ.get("HEDDLE_FILE") else None)
    path = named or Path(DEFAULT_FILE)
    values: dict[str, Any] = {}
    if path.exists() or named is not None:
        values = _read_toml(path)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise BadSettings(_one_line(error, path)) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        raise BadSettings(f"HEDDLE_{field[1].upper() if field else '*'}: expected JSON") from None
    return settings.model_copy(update=dict(overrides or {}))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettings(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path} is not valid TOML: {error}") from None


def _one_line(error: ValidationError, path: Path) -> str:
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        field = str(problem["loc"][0])
        variable = f"HEDDLE_{field.upper()}"
        where = f"{place} in {path}"
        if variable in os.environ:
            where = variable if place == field else f"{place} in {variable}"
        elif place == field in Settings.model_fields:
            where += f" or {variable}"
        problems.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)
