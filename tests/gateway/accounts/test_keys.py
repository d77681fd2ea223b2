"""API keys over HTTP: minting, listing, editing, revoking, and what each kind of key may do."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from gateway.accounts.keys import NewKey, hash_secret
from gateway.accounts.models import Account, ApiKey
from kit.money import micros, usd_text
from tests.gateway.serving import Serving

MESSAGE = {"model": "sim-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}


def _as(secret: str) -> dict[str, str]:
    return {"x-api-key": secret}


async def _whoami(heddle: Serving, secret: str) -> httpx.Response:
    return await heddle.http.get("/v1/models", headers=_as(secret))


def _error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["type"] == "error"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["error"]["code"] == code
    error: dict[str, Any] = body["error"]
    return error


async def test_minting_shows_the_secret_once_and_keeps_only_its_hash(heddle: Serving, tmp_path: Path) -> None:
    minted = await heddle.mint(name="  ci  ", max_spend_usd=2.5, cap_period="month", end_user_id="alice")
    secret = minted.pop("secret")
    assert secret.startswith("ak_live_")
    assert len(bytes.fromhex(secret.removeprefix("ak_live_"))) == 32
    assert minted["prefix"] == secret[:12]
    assert minted["object"] == "api_key"
    assert (minted["name"], minted["scope"], minted["end_user_id"]) == ("ci", "standard", "alice")
    assert (minted["max_spend_usd"], minted["cap_micros"], minted["cap_period"]) == (2.5, 2_500_000, "month")
    assert minted["expires_at"] is None
    assert minted["revoked_at"] is None

    one = await heddle.http.get(f"/v1/keys/{minted['id']}")
    listed = await heddle.http.get("/v1/keys")
    assert one.json() == minted
    assert minted in listed.json()["data"]
    for text in (one.text, listed.text):
        assert secret not in text
    async with heddle.app.db.session() as session:
        row = (await session.exec(select(ApiKey).where(ApiKey.id == minted["id"]))).one()
    assert row.secret_sha256 == hash_secret(secret)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert row.secret_sha256.encode() in stored
    assert secret.encode() not in stored


async def test_two_keys_never_share_a_secret(heddle: Serving) -> None:
    first, second = await heddle.mint(), await heddle.mint()
    assert first["secret"] != second["secret"]
    assert first["id"] != second["id"]


async def test_a_key_works_in_either_header(heddle: Serving) -> None:
    secret = (await heddle.mint())["secret"]
    async with httpx.AsyncClient(base_url=heddle.base_url, timeout=10) as bare:
        assert (await bare.get("/v1/models", headers=_as(secret))).status_code == 200
        bearer = {"authorization": f"bearer {secret}"}
        assert (await bare.get("/v1/models", headers=bearer)).status_code == 200
        missing = await bare.get("/v1/models")
    _error(missing, 401, "missing_key")
    assert missing.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("secret", ["nonsense", "ak_live_" + "0" * 64, "x" * 600, "schlüssel"])
async def test_an_unknown_key_is_refused(heddle: Serving, secret: str) -> None:
    answer = await heddle.http.get("/v1/models", headers={b"x-api-key": secret.encode()})
    _error(answer, 401, "unknown_key")


async def test_keys_are_listed_newest_first_and_paged(heddle: Serving) -> None:
    minted = [(await heddle.mint(name=f"key {number}"))["id"] for number in range(4)]
    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        answer = (await heddle.http.get("/v1/keys", params=params)).json()
        assert answer["object"] == "list"
        assert answer["keys"] == answer["data"]
        seen += [key["id"] for key in answer["data"]]
        pages += 1
        cursor = answer["next_cursor"]
        assert answer["has_more"] is (cursor is not None)
        if cursor is None:
            break
    assert pages == 3
    assert seen[:4] == minted[::-1]
    assert len(seen) == len(set(seen)) == 5  # with the bootstrap key


@pytest.mark.parametrize("cursor", ["nonsense", "WzEsMl0", "é", "W1tdXQ"])
async def test_a_cursor_that_was_not_given_out_is_refused(heddle: Serving, cursor: str) -> None:
    answer = await heddle.http.get("/v1/keys", params={"cursor": cursor})
    assert _error(answer, 400, "invalid_request")["param"] == "cursor"


async def test_editing_changes_what_is_named_and_nothing_else(heddle: Serving) -> None:
    minted = await heddle.mint(name="before", max_spend_usd=1, cap_period="day", models=["sim-small"])
    del minted["secret"]
    path = f"/v1/keys/{minted['id']}"
    renamed = (await heddle.http.patch(path, json={"name": " after "})).json()
    assert renamed == {**minted, "name": "after"}
    capped = (await heddle.http.patch(path, json={"max_spend_usd": "0.25"})).json()
    assert capped == {**renamed, "max_spend_usd": 0.25, "cap_micros": 250_000}
    freed = (await heddle.http.patch(path, json={"max_spend_usd": None, "models": None})).json()
    assert freed == {**renamed, "max_spend_usd": None, "cap_micros": None, "models": None}
    assert (await heddle.http.get(path)).json() == freed
    assert (await heddle.http.patch(path, json={})).json() == freed


async def test_a_lowered_cap_binds_the_next_call(heddle: Serving) -> None:
    minted = await heddle.mint(max_spend_usd=1)
    send = {"json": MESSAGE, "headers": _as(minted["secret"])}
    assert (await heddle.http.post("/v1/messages", **send)).status_code == 200  # type: ignore[arg-type]
    (event,) = await heddle.usage_events()
    lowered = {"max_spend_usd": usd_text(event.cost_nanos)}  # below what is spent it would be refused
    assert (await heddle.http.patch(f"/v1/keys/{minted['id']}", json=lowered)).status_code == 200
    refused = await heddle.http.post("/v1/messages", **send)  # type: ignore[arg-type]
    error = _error(refused, 402, "key_cap_reached")
    assert error["type"] == "billing_error"
    assert error["cap_micros"] == error["spent_micros"] == micros(event.cost_nanos)


async def test_a_revoked_key_stops_at_once(heddle: Serving) -> None:
    minted = await heddle.mint()
    assert (await _whoami(heddle, minted["secret"])).status_code == 200
    gone = await heddle.http.delete(f"/v1/keys/{minted['id']}")
    assert (gone.status_code, gone.json()["ok"]) == (200, True)
    _error(await _whoami(heddle, minted["secret"]), 401, "key_revoked")
    for again in (
        await heddle.http.patch(f"/v1/keys/{minted['id']}", json={"name": "zombie"}),
        await heddle.http.delete(f"/v1/keys/{minted['id']}"),
    ):
        _error(again, 404, "not_found")
    shown = (await heddle.http.get(f"/v1/keys/{minted['id']}")).json()
    assert shown["revoked_at"] >= minted["created_at"]
    assert (await heddle.http.get(f"/v1/keys/{minted['id']}/usage")).status_code == 200
    live = (await heddle.http.get("/v1/keys")).json()["data"]
    every = (await heddle.http.get("/v1/keys?include_revoked=true")).json()["data"]
    assert minted["id"] not in {key["id"] for key in live}
    assert minted["id"] in {key["id"] for key in every}


async def test_an_expired_key_is_refused(heddle: Serving) -> None:
    now = time.time_ns() // 1_000_000
    past = await heddle.mint(expires_at=now - 1)
    future = await heddle.mint(expires_at=now + 3_600_000)
    _error(await _whoami(heddle, past["secret"]), 401, "key_expired")
    assert (await _whoami(heddle, future["secret"])).status_code == 200
    await heddle.http.patch(f"/v1/keys/{future['id']}", json={"expires_at": now - 1})
    _error(await _whoami(heddle, future["secret"]), 401, "key_expired")


async def test_a_bound_key_acts_only_for_its_end_user(heddle: Serving) -> None:
    minted = await heddle.mint(end_user_id="alice")
    headers = _as(minted["secret"])
    mine = await heddle.http.post("/v1/threads", json={}, headers=headers)
    assert mine.json()["end_user_id"] == "alice"
    other = await heddle.http.post("/v1/threads", json={"end_user_id": "bob"}, headers=headers)
    assert _error(other, 403, "end_user_mismatch")["param"] == "end_user_id"
    assert (await heddle.http.post("/v1/messages", json=MESSAGE, headers=headers)).status_code == 200
    assert (await heddle.only_event()).end_user_id == "alice"


async def test_an_admin_key_cannot_be_bound(heddle: Serving) -> None:
    answer = await heddle.http.post("/v1/keys", json={"name": "x", "scope": "admin", "end_user_id": "alice"})
    assert "end_user_id" in _error(answer, 400, "invalid_request")["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_key_calls_only_its_models(heddle: Serving, path: str) -> None:
    headers = _as((await heddle.mint(models=["sim-small"]))["secret"])
    assert (await heddle.http.post(path, json=MESSAGE, headers=headers)).status_code == 200
    refused = await heddle.http.post(path, json={**MESSAGE, "model": "sim-large"}, headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "model_not_allowed"
    listed = await heddle.http.get("/v1/models", headers=headers)
    assert [model["id"] for model in listed.json()["data"]] == ["sim-small"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/keys/any"),
        ("PATCH", "/v1/keys/any"),
        ("DELETE", "/v1/keys/any"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/billing/balance"),
    ],
)
async def test_a_standard_key_has_no_admin_routes(heddle: Serving, method: str, path: str) -> None:
    headers = _as((await heddle.mint())["secret"])
    body = {"name": "sneaky", "scope": "admin"}
    answer = await heddle.http.request(
        method, path, headers=headers, json=body if method in {"POST", "PATCH"} else None
    )
    assert _error(answer, 403, "admin_required")["type"] == "permission_error"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n" * 201),
        ("name", ""),
        ("name", "   "),
        ("name", 7),
        ("scope", "root"),
        ("end_user_id", "u" * 201),
        ("end_user_id", ""),
        ("max_spend_usd", -1),
        ("max_spend_usd", "much"),
        ("max_spend_usd", "NaN"),
        ("max_spend_usd", 10**12),
        ("cap_period", "decade"),
        ("models", "sim-small"),
        ("models", ["m"] * 201),
        ("models", ["m" * 201]),
        ("expires_at", 0),
        ("expires_at", 2**63),
        ("expires_at", "tomorrow"),
        ("rpm", 0),
        ("rpm", 1.5),
        ("tpm", -1),
        ("tpm", 10**10),
        ("max_concurrent", 0),
        ("on_disconnect", "shrug"),
    ],
)
async def test_a_bad_field_is_named(heddle: Serving, field: str, value: object) -> None:
    fields = {"name": "test", field: value}
    answer = await heddle.http.post("/v1/keys", json=fields)
    error = _error(answer, 400, "invalid_request")
    assert error["param"].split(".")[0] == field
    assert error["message"].startswith(field)
    if field in {"scope", "end_user_id"}:
        return
    key = await heddle.mint()
    edited = await heddle.http.patch(f"/v1/keys/{key['id']}", json={field: value})
    assert _error(edited, 400, "invalid_request")["param"].split(".")[0] == field


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'"x"', b"\xff", b'{"name": "\xff"}'])
async def test_a_body_that_is_no_object_is_refused(heddle: Serving, body: bytes) -> None:
    answer = await heddle.http.post("/v1/keys", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_another_accounts_key_is_not_found(heddle: Serving) -> None:
    other = Account(id="acct_other", name="other", created_at=1)
    await heddle.app.db.write(lambda session: session.add(other.model_copy()))
    theirs, secret = await heddle.app.keys.mint(other.id, NewKey("theirs", "standard"))
    path = f"/v1/keys/{theirs.id}"
    for answer in (
        await heddle.http.get(path),
        await heddle.http.patch(path, json={"name": "mine now"}),
        await heddle.http.delete(path),
    ):
        _error(answer, 404, "not_found")
    assert theirs.id not in {key["id"] for key in (await heddle.http.get("/v1/keys")).json()["data"]}
    assert (await _whoami(heddle, secret)).status_code == 200
