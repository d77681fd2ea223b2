"""Settings from heddle.toml and the environment, and what they switch on."""

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from genai_prices import data_snapshot

from gateway.inference.dialects.registry import PROVIDER_DIALECTS
from gateway.inference.media.passage import DEEPGRAM, ELEVENLABS
from gateway.inference.models import ModelCatalog
from gateway.inference.providers import configured_providers, known_provider_names
from gateway.oauth_client_settings import configured_clients
from gateway.settings import BadSettings, Settings, load_settings
from kit.clock import ManualClock
from kit.errors import NotFound, Unsupported
from tests.gateway.serving import serving

EXTRA = """
[providers.local]
dialect = "openai-chat"
base_url = "http://127.0.0.1:11434/v1/"

[models."my-llama"]
provider = "local"
upstream_model = "llama3.3:70b"
context_window = 8192
input_usd_per_mtok = 0.5
output_usd_per_mtok = "1.5"
"""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("HEDDLE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(file: Path | None = None) -> str:
    with pytest.raises(BadSettings) as refused:
        load_settings(file)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_without_a_file_the_defaults_hold() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.key_prefix) == ("127.0.0.1", 8787, "ak_live_")
    assert settings.resolved_database_url == "sqlite:///.heddle/heddle.db"
    assert settings.resolved_public_url == "http://127.0.0.1:8787"


def test_heddle_toml_in_the_working_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "heddle.toml").write_text("port = 9001\n")
    assert load_settings().port == 9001


def test_the_environment_wins_over_the_file_and_options_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(tmp_path, 'port = 9001\nmarkup = 0.2\nhost = "::1"\n')
    assert load_settings(file).port == 9001
    monkeypatch.setenv("HEDDLE_PORT", "9002")
    settings = load_settings(file)
    assert (settings.port, settings.markup) == (9002, Decimal("0.2"))
    assert load_settings(file, {"port": 9003}).port == 9003
    assert settings.resolved_public_url == "http://[::1]:9002"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEDDLE_FILE", str(_file(tmp_path, "port = 9004\n")))
    assert load_settings().port == 9004


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert _refusal(missing) == f"cannot read {missing}: No such file or directory"


@pytest.mark.parametrize("text", [b"port = \n", b"= 1\n", b"[models", b'host = "\xff"\n'])
def test_bad_toml_is_one_line_naming_the_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(text)
    assert _refusal(path).startswith(f"{path} is not valid TOML: ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("prot = 1", "prot in {path}: "),
        ('port = "x"', "port in {path} or HEDDLE_PORT: "),
        ("port = 70000", "port in {path} or HEDDLE_PORT: "),
        ('bootstrap_admin_key = "hunter2hunter2"', "bootstrap_admin_key in {path} or HEDDLE_BOOTSTRAP"),
        ('allow_private_targets = "everything"', "allow_private_targets in {path} or HEDDLE_ALLOW_"),
        ('key_prefix = "no spaces "', "key_prefix in {path} or HEDDLE_KEY_PREFIX: "),
        (
            'stripe_secret_key = "pk_live_hunter2"',
            "stripe_secret_key in {path} or HEDDLE_STRIPE_SECRET_KEY: ",
        ),
        ('stripe_secret_key = "sk_live_hunter2"', "stripe_webhook_secret in {path} or HEDDLE_STRIPE_WEB"),
        (
            'stripe_secret_key = "rk_live_hunter2"\nstripe_webhook_secret = " , "',
            "stripe_webhook_secret in {path} or HEDDLE_STRIPE_WEBHOOK_SECRET: needed beside ",
        ),
        ('tool_usd = { search = "0.01" }', "tool_usd in {path} or HEDDLE_TOOL_USD: expected names such as "),
        (
            '[tool_usd]\n"search/query" = "0.01"',
            "tool_usd in {path} or HEDDLE_TOOL_USD: search/query: there is no server 'search' under mcp_",
        ),
        *(
            (f'[mcp_servers.s]\ncommand = "x"\n[tool_usd]\n"s/t" = {price}', "tool_usd.s/t in {path}: ")
            for price in ('"-0.01"', "nan", '"inf"', '"1000001"', '"0.0000000001"', '"a lot"', "true")
        ),
        ('operator_token = "hunter2"', "operator_token in {path} or HEDDLE_OPERATOR_TOKEN: "),
        ("[stripe]\nmin_usd = 0.1", "stripe.min_usd in {path}: "),
        ("[stripe]\nmax_usd = 10.001", "stripe.max_usd in {path}: must be whole cents"),
        ('[stripe]\nsuccess_url = "paid"', "stripe.success_url in {path}: expected an address"),
        ("[stripe.packs.p]\nprice_usd = 10", "stripe.packs.p.credit_usd in {path}: "),
        ("[stripe.packs.p]\nprice_usd = 10\ncredit_usd = nan", "stripe.packs.p.credit_usd in {path}: "),
        ('[stripe.plans.p]\nprice_usd = -1\nallowance_usd = "5"', "stripe.plans.p.price_usd in {path}: "),
        ("starter_credit_usd = nan", "starter_credit_usd in {path} or HEDDLE_STARTER_CREDIT_USD: "),
        ("providers = 3", "providers in {path} or HEDDLE_PROVIDERS: "),
        ('[providers.p]\nurl = "x"', "providers.p.url in {path}: "),
        ('[providers.p]\ndialect = "latin"', "providers.p.dialect in {path}: "),
        ('[models."a"]\nprovider = "p"\noutput_usd_per_mtok = 1', "models.a in {path}: expected a price: "),
        ('[models."a"]\nprovider = "p"\ninput_usd_per_mtok = -1\noutput_usd_per_mtok = 1', "models.a.input_"),
    ],
)
def test_a_bad_value_is_one_line_naming_its_place(tmp_path: Path, text: str, place: str) -> None:
    file = _file(tmp_path, text)
    message = _refusal(file)
    assert message.startswith(place.format(path=file))
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("HEDDLE_PORT", "many", "HEDDLE_PORT: "),
        ("HEDDLE_SIM", "perhaps", "HEDDLE_SIM: "),
        ("HEDDLE_PROVIDERS", "{nope", "HEDDLE_PROVIDERS: expected JSON"),
        ("HEDDLE_PROVIDERS", '{"p": {"url": "x"}}', "providers.p.url in HEDDLE_PROVIDERS: "),
    ],
)
def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    assert _refusal(_file(tmp_path, "port = 9001\n")).startswith(line)


def test_secrets_are_not_in_the_repr(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        'bootstrap_admin_key = "hunter2hunter2hunter2"\noperator_token = "hunter2hunter2hunter2"\n'
        'stripe_secret_key = "sk_live_hunter2"\nstripe_webhook_secret = "whsec_hunter2, whsec_2"\n'
        '[providers.p]\napi_key = "hunter2"\n',
    )
    assert load_settings(file).stripe_webhook_secrets == ("whsec_hunter2", "whsec_2")
    assert "hunter2" not in repr(load_settings(file))


# --- providers and models -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, {}),
        ({"ANTHROPIC_API_KEY": ""}, {}),
        ({"ANTHROPIC_BASE_URL": "http://proxy"}, {}),
        ({"ANTHROPIC_API_KEY": "k1"}, {"anthropic": ("k1", "https://api.anthropic.com")}),
        (
            {"ANTHROPIC_API_KEY": "k1", "ANTHROPIC_BASE_URL": "http://proxy:1/"},
            {"anthropic": ("k1", "http://proxy:1")},
        ),
        (
            {"OPENAI_API_KEY": "k2", "OPENAI_BASE_URL": "http://proxy/v1"},
            {"openai": ("k2", "http://proxy/v1", "http://proxy/v1")},
        ),
    ],
)
def test_a_known_provider_is_on_when_its_key_is_set(
    environ: Mapping[str, str], on: Mapping[str, tuple[str, str]]
) -> None:
    found = configured_providers(Settings(), environ)
    assert {name: (p.api_keys[0], *p.base_urls.values()) for name, p in found.items()} == on
    assert all(key not in repr(found) for key, *_ in on.values())


def test_every_known_provider_can_be_switched_on() -> None:
    environ = {f"{name.upper()}_API_KEY": "k" for name in known_provider_names()}
    environ |= {"GEMINI_API_KEY": "k,  k-2,k", "CLOUDFLARE_ACCOUNT_ID": "acct"}
    found = configured_providers(Settings(), environ)
    assert set(found) == set(known_provider_names())
    assert found["google"].api_keys == ("k", "k-2")
    assert "/accounts/acct/" in found["cloudflare"].base_urls["openai-chat"]
    listed = {provider.id for provider in data_snapshot.get_snapshot().providers}
    for provider in found.values():
        assert provider.prices_id in listed or provider.unit_usd, provider.name
        assert set(provider.base_urls) <= {*PROVIDER_DIALECTS, ELEVENLABS.dialect, DEEPGRAM.dialect}
        assert all(url.startswith("https://") for url in provider.base_urls.values())


def test_a_provider_whose_address_needs_more_says_so() -> None:
    with pytest.raises(BadSettings, match="CLOUDFLARE_ACCOUNT_ID is not set"):
        configured_providers(Settings(), {"CLOUDFLARE_API_KEY": "k"})


def test_a_moved_provider_keeps_the_dialects_of_its_address() -> None:
    moved = configured_providers(Settings(), {"DEEPSEEK_API_KEY": "k", "DEEPSEEK_BASE_URL": "http://proxy/"})
    assert moved["deepseek"].base_urls == {"openai-chat": "http://proxy"}


def test_quirks_and_limits_of_a_provider_are_settings(tmp_path: Path) -> None:
    text = (
        '[providers.lab]\ndialect = "openai-chat"\nbase_url = "http://lab/v1"\napi_keys = ["a", "b"]\n'
        'max_concurrent = 4\nidle_timeout_s = 2.5\nquirks = {system_role = "system", refused = ["n"]}\n'
    )
    lab = configured_providers(load_settings(_file(tmp_path, text)), {})["lab"]
    assert lab.api_keys == ("a", "b")
    assert (lab.limits.max_concurrent, lab.limits.idle_timeout_s) == (4, 2.5)
    assert (lab.quirks.system_role, lab.quirks.refused) == ("system", frozenset({"n"}))
    bad = text.replace('"system"', '"boss"')
    with pytest.raises(BadSettings, match=r"providers\.lab\.quirks"):
        configured_providers(load_settings(_file(tmp_path, bad)), {})


def test_an_extra_provider_and_its_priced_model(tmp_path: Path) -> None:
    settings = load_settings(_file(tmp_path, EXTRA))
    providers = configured_providers(settings, {"LOCAL_API_KEY": "k3"})
    assert providers["local"].base_urls == {"openai-chat": "http://127.0.0.1:11434/v1"}
    assert providers["local"].api_keys == ("k3",)
    catalog = ModelCatalog(settings, providers, ManualClock())
    model = catalog.resolve("my-llama")
    assert (model.upstream_name, model.context_window) == ("llama3.3:70b", 8192)
    assert model.price.unit("input").at(0) == Decimal("0.0000005")
    assert model.price.unit("output").at(0) == Decimal("0.0000015")
    assert catalog.resolve("local/my-llama") == model
    assert catalog.all() == [model]
    with pytest.raises(NotFound):
        catalog.resolve("no-such-model")
    with pytest.raises(Unsupported, match="no price"):
        catalog.resolve("local/unpriced")


def test_an_extra_provider_takes_its_key_from_the_variable_it_names(tmp_path: Path) -> None:
    text = '[providers.my-box]\ndialect = "anthropic"\nbase_url = "http://box"\napi_key_env = "BOX"\n'
    settings = load_settings(_file(tmp_path, text))
    found = configured_providers(
        settings, {"BOX": "k4", "MY_BOX_API_KEY": "k5", "MY_BOX_BASE_URL": "http://x"}
    )
    assert (found["my-box"].api_keys, found["my-box"].base_urls) == (("k4",), {"anthropic": "http://x"})
    assert configured_providers(settings, {})["my-box"].api_keys == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[providers.p]\nbase_url = "http://x"', "providers.p.dialect"),
        ('[providers.p]\ndialect = "anthropic"', "providers.p.base_url"),
        ('[providers.p]\ndialect = "anthropic"\nbase_url = "x.example"', "providers.p.base_url"),
        ('[providers.sim]\ndialect = "anthropic"\nbase_url = "http://x"', "providers.sim"),
    ],
)
def test_an_unusable_provider_is_named(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(BadSettings, match=f"^{place}"):
        configured_providers(load_settings(_file(tmp_path, text)), {})


def test_a_model_of_an_unknown_provider_is_named(tmp_path: Path) -> None:
    text = '[models."m"]\nprovider = "nowhere"\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\n'
    with pytest.raises(BadSettings, match=r'^models\."m"\.provider: .*nowhere'):
        ModelCatalog(load_settings(_file(tmp_path, text)), {}, ManualClock())


async def test_the_catalogue_of_a_known_provider_is_priced_from_the_list() -> None:
    settings = Settings()
    providers = configured_providers(settings, {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"})
    catalog = ModelCatalog(settings, providers, ManualClock())
    models = catalog.all()
    assert len(models) > 20
    sold_by = ("input", "input_character", "audio_second", "image")
    assert all(any(unit in model.price.units for unit in sold_by) for model in models)
    makes_no_text = {model.slug for model in models if "output" not in model.price.units}
    others = ("embed", "moderation", "tts", "transcribe", "whisper", "translate", "live", "realtime", "image")
    assert all(any(kind in slug for kind in others) for slug in makes_no_text), makes_no_text
    assert {model.provider.name for model in models} == {"anthropic", "openai"}


async def test_the_extra_model_is_listed_and_called(tmp_path: Path) -> None:
    settings = load_settings(_file(tmp_path, EXTRA))
    providers = configured_providers(settings, {"LOCAL_BASE_URL": "http://127.0.0.1:1/v1"})
    async with serving(tmp_path, providers, providers=settings.providers, models=settings.models) as heddle:
        (listed,) = (await heddle.http.get("/v1/models")).json()["data"]
        assert (listed["id"], listed["provider"]) == ("my-llama", "local")
        called: httpx.Response = await heddle.http.post(
            "/v1/chat/completions",
            json={"model": "my-llama", "messages": [{"role": "user", "content": "hello"}]},
        )
    assert called.status_code == 503  # nobody listens there
    assert called.json()["error"]["code"] == "upstream_unreachable"


def test_an_oauth_client_has_its_secret_from_a_variable_and_never_shows_it(tmp_path: Path) -> None:
    text = '[oauth_clients.google]\nclient_id = "g"\nclient_secret_env = "GOOGLE_SECRET"\n'
    text += '[oauth_clients."https://auth.example"]\nclient_id = "a"\nclient_secret = "canary-a"\n'
    settings = load_settings(_file(tmp_path, text))
    clients = configured_clients(settings.oauth_clients, {"GOOGLE_SECRET": "canary-g"})
    assert clients["google"].client_secret == "canary-g"
    assert clients["https://auth.example"].client_secret == "canary-a"
    assert "canary" not in repr(settings) + repr(clients)
    with pytest.raises(ValueError, match=r"oauth_clients.google: GOOGLE_SECRET is not set"):
        configured_clients(settings.oauth_clients, {})


def test_an_oauth_client_that_cannot_prove_itself_is_refused(tmp_path: Path) -> None:
    text = '[oauth_clients.google]\nclient_id = "g"\ntoken_auth = "client_secret_basic"\n'
    assert "needs client_secret or client_secret_env" in _refusal(_file(tmp_path, text))
