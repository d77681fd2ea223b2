"""The Heddle that a benchmark runs: its settings, a key as applications have them, and what it billed."""

import os
import platform
from pathlib import Path

import httpx


def heddle_environ(folder: str, upstream_url: str, admin_key: str) -> dict[str, str]:
    settings = Path(folder) / "heddle.toml"
    settings.write_text("")
    return {
        "HEDDLE_FILE": str(settings),
        "HEDDLE_HOST": "127.0.0.1",
        "HEDDLE_PORT": "0",
        "HEDDLE_DATA_DIR": str(Path(folder) / "data"),
        "HEDDLE_DEFAULT_TOOLS_MODE": "none",
        "HEDDLE_BOOTSTRAP_ADMIN_KEY": admin_key,
        "HEDDLE_STARTER_CREDIT_USD": "100000",
        "HEDDLE_SIM": "off",
        "HEDDLE_LOG_LEVEL": "warning",
        "ANTHROPIC_API_KEY": "bench",
        "ANTHROPIC_BASE_URL": upstream_url,
        "OPENAI_API_KEY": "bench",
        "OPENAI_BASE_URL": f"{upstream_url}/v1",
    }


async def mint_key(url: str, admin_key: str) -> str:
    """A standard key as applications get them: for one end user, with a monthly cap."""
    body = {
        "name": "bench",
        "scope": "standard",
        "end_user_id": "user_bench",
        "max_spend_usd": 50_000,
        "cap_period": "month",
    }
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": admin_key}, timeout=30) as client:
        answer = await client.post("/v1/keys", json=body)
        answer.raise_for_status()
        return str(answer.json()["secret"])


async def billed(url: str, admin_key: str, *, expected: int) -> str:
    """A sentence on what was billed. Raises RuntimeError if a request was not."""
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": admin_key}, timeout=60) as client:
        usage = (await client.get("/v1/usage")).raise_for_status().json()
        balance = (await client.get("/v1/billing/balance")).raise_for_status().json()
    if usage["request_count"] != expected or balance["held_micros"] != 0:
        raise RuntimeError(
            f"{expected} requests were answered, but {usage['request_count']} are billed "
            f"and {balance['held_micros']} micro-USD are still held"
        )
    return f"{expected:,} requests were answered and exactly as many billed; nothing is held any more."


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.partition(":")[2] for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = named[0].strip() if named else model
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
