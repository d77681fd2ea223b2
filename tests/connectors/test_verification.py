"""A forwarded link must not attach somebody else's account: the developer's site says who is there."""

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from connectors.credentials import ConnectionRequired
from connectors.verification import CHALLENGE_LIFETIME_MS, site_signature
from kit.caller import Caller
from kit.errors import InvalidRequest
from tests.connectors.browsing import connect, press
from tests.connectors.conftest import ACCOUNT, Desk

SITE = "https://app.example/verify?x=1"


async def set_up(desk: Desk) -> str:
    """The account's secret; links are verified from now on."""
    await desk.vendor()
    api = await desk.api(Caller(ACCOUNT, "key", "admin"))
    put = await api.put("/v1/connect-verification", json={"verify_url": SITE})
    assert put.status_code == 200, put.text
    assert (await api.get("/v1/connect-verification")).json()["verify_url"] == SITE
    secret: str = put.json()["secret"]
    return secret


async def sent_to_site(browser: httpx.AsyncClient, link: str) -> tuple[str, str]:
    """The challenge, and where the site sends the browser back to."""
    sent = await browser.get(link)
    where = urlsplit(sent.headers["location"])
    query = parse_qs(where.query)
    assert (sent.status_code, where.netloc, query["x"]) == (303, "app.example", ["1"])
    return query["challenge"][0], query["return_to"][0]


async def come_back(
    browser: httpx.AsyncClient, link: str, secret: str, *, user: str = "ada"
) -> httpx.Response:
    challenge, back = await sent_to_site(browser, link)
    signature = site_signature(secret, challenge, user)
    return await browser.get(
        back, params={"challenge": challenge, "end_user_id": user, "signature": signature}
    )


async def nothing_connected(desk: Desk) -> None:
    with pytest.raises(ConnectionRequired):
        await desk.credentials.lease(ACCOUNT, "notebook", "ada")


async def test_the_right_person_is_vouched_for_and_connects(desk: Desk) -> None:
    secret = await set_up(desk)
    link, browser = await desk.link(), await desk.browser()
    back = await come_back(browser, link.connect_url, secret)
    assert back.headers["location"] == urlsplit(link.connect_url).path
    assert "Connected" in (await connect(browser, link.connect_url)).text


async def test_another_person_sees_a_kind_page_and_the_link_is_spent(desk: Desk) -> None:
    secret = await set_up(desk)
    link, browser = await desk.link(), await desk.browser()
    back = await come_back(browser, link.connect_url, secret, user="mallory")
    assert (back.status_code, "for somebody else" in back.text) == (403, True)
    assert (await browser.get(link.connect_url)).status_code == 410
    await nothing_connected(desk)


async def test_a_browser_that_skips_the_site_gets_nowhere(desk: Desk) -> None:
    secret = await set_up(desk)
    link, ada, mallory = await desk.link(), await desk.browser(), await desk.browser()
    await come_back(ada, link.connect_url, secret)
    # Ada is vouched for; mallory has her link, and a cookie of his own.
    await mallory.get(link.connect_url)
    cookie = mallory.cookies["heddle_connect"]
    pressed = await mallory.post(link.connect_url, data={"csrf": cookie, "action": "continue"})
    assert (pressed.status_code, "location" in pressed.headers) == (403, False)
    await nothing_connected(desk)


@pytest.mark.parametrize("wrong", ["signature", "challenge", "browser", "late"])
async def test_a_signature_that_does_not_fit_verifies_nobody(desk: Desk, wrong: str) -> None:
    secret = await set_up(desk)
    link, browser = await desk.link(), await desk.browser()
    challenge, back = await sent_to_site(browser, link.connect_url)
    if wrong == "challenge":
        claims = jwt.decode(challenge, OctKey.import_key(secret)).claims
        challenge = jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("0" * 40))
    signature = site_signature("another" if wrong == "signature" else secret, challenge, "ada")
    if wrong == "late":
        desk.clock.advance(seconds=CHALLENGE_LIFETIME_MS // 1000 + 1)
    if wrong == "browser":
        browser = await desk.browser()
        await browser.get(link.connect_url)
    query = {"challenge": challenge, "end_user_id": "ada", "signature": signature}
    answer = await browser.get(back, params=query)
    assert (answer.status_code, "could not see who you are" in answer.text) == (403, True)
    assert (await browser.get(link.connect_url)).status_code == 303
    await nothing_connected(desk)


async def test_a_verify_url_for_one_link_needs_the_accounts_secret(desk: Desk) -> None:
    await desk.vendor()
    with pytest.raises(InvalidRequest, match="PUT /v1/connect-verification first"):
        await desk.link(verify_url=SITE)
    api = await desk.api(Caller(ACCOUNT, "key", "admin"))
    refused = await api.put("/v1/connect-verification", json={"verify_url": "http://app.example/v"})
    assert (refused.status_code, "expected an https URL" in refused.text) == (400, True)
    await api.put("/v1/connect-verification", json={"verify_url": SITE})
    assert (await api.delete("/v1/connect-verification")).status_code == 200
    assert (await api.delete("/v1/connect-verification")).status_code == 404
    assert (await press(await desk.browser(), (await desk.link()).connect_url)).status_code == 303
