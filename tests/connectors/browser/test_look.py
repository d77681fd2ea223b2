"""How the pages look to everybody: small and large windows, light and dark, four languages, any colour."""

from io import BytesIO
from typing import Literal

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from connectors.languages import LANGUAGES, Language
from gateway.loopback import served
from tests.connectors.browser.conftest import MakeVisit
from tests.connectors.browser.visit import overflow, violations
from tests.connectors.conftest import ACCOUNT, Desk

pytestmark = pytest.mark.asyncio(loop_scope="package")

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SCOPES = [
    "openid",
    "issues:read",
    "https://vendor.example/auth/a.scope.with.a.very.long.name.without.a.break",
]
USUAL: dict[str, None] = {"name": None, "color": None, "logo_url": None}


@pytest.mark.parametrize("language", LANGUAGES.values(), ids=list(LANGUAGES))
async def test_every_page_fits_and_is_accessible(
    visit: MakeVisit, shared_desk: Desk, language: Language
) -> None:
    code, tag = language.code, language.tag
    ada = await visit(locale="fr-FR")
    consent = await shared_desk.link(scopes=SCOPES)
    pasted = await shared_desk.link("pasted")
    for url, action in (
        (consent.connect_url, None),
        (pasted.connect_url, "continue"),
        (pasted.connect_url, "cancel"),
        (f"{shared_desk.url}/connect/forged", None),
    ):
        await ada.page.goto(f"{url}?lang={code}")
        if action is not None:
            await ada.press(action)
        assert await ada.page.locator("html").get_attribute("lang") == tag
        for scheme in SCHEMES:
            await ada.page.emulate_media(color_scheme=scheme)
            for width in (1280, 360):
                await ada.page.set_viewport_size({"width": width, "height": 800})
                assert await overflow(ada.page) == 0, (url, scheme, width)
            assert await violations(ada.page) == [], (url, scheme)


async def test_a_chosen_language_is_remembered_without_scripts(visit: MakeVisit, shared_desk: Desk) -> None:
    ada = await visit(java_script_enabled=False, locale="de-DE")
    link = await shared_desk.link("pasted")
    await ada.page.goto(link.connect_url)
    assert await ada.heading() == "Pasted & Co verbinden"
    assert [cookie["name"] for cookie in await ada.context.cookies()] == ["heddle_connect"]
    await ada.page.get_by_role("link", name="Español").click()
    assert await ada.heading() == "Conectar Pasted & Co"
    await ada.page.goto(link.connect_url)
    assert await ada.heading() == "Conectar Pasted & Co"
    await ada.press("cancel")
    assert await ada.heading() == "No se ha conectado nada"
    await ada.page.get_by_role("link", name="English").click()
    assert await ada.heading() == "Nothing was connected"


async def test_any_colour_of_an_account_can_be_read(visit: MakeVisit, shared_desk: Desk) -> None:
    ada = await visit()
    link = await shared_desk.link("pasted")
    try:
        for color in ("#ffcc00", "#808080", "#000000", "#ffffff"):
            await shared_desk.branding.put(ACCOUNT, name="Sunflower", color=color, logo_url=None)
            await ada.page.goto(link.connect_url)
            shown = await ada.page.locator("button.primary").evaluate(
                "(button) => getComputedStyle(button).backgroundColor"
            )
            assert shown == "rgb({}, {}, {})".format(*bytes.fromhex(color[1:]))
            for scheme in SCHEMES:
                await ada.page.emulate_media(color_scheme=scheme)
                assert await violations(ada.page) == [], (color, scheme)
    finally:
        await shared_desk.branding.put(ACCOUNT, **USUAL)


async def test_a_logo_is_shown_from_our_own_origin_alone(visit: MakeVisit, shared_desk: Desk) -> None:
    file = BytesIO()
    Image.new("RGB", (1000, 200), "#123456").save(file, "JPEG")
    asked: list[str] = []

    async def picture(request: object) -> Response:
        asked.append("logo")
        return Response(file.getvalue(), media_type="image/jpeg")

    async with served(lambda _: Starlette(routes=[Route("/logo", picture)])) as site:
        await shared_desk.branding.put(ACCOUNT, name="Sunflower", color=None, logo_url=f"{site}/logo")
        try:
            ada = await visit()
            await ada.page.goto((await shared_desk.link("pasted")).connect_url)
            logo = ada.page.get_by_role("img", name="Sunflower")
            size = await logo.evaluate("(logo) => [logo.complete, logo.naturalWidth, logo.naturalHeight]")
            assert size == [True, 480, 96]
            assert await overflow(ada.page) == 0
        finally:
            await shared_desk.branding.put(ACCOUNT, **USUAL)
    assert asked == ["logo"]
