"""How an account's pages look: who may say it, which pictures are taken, and what is refused."""

import zlib
from io import BytesIO

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.accounts.branding import MAX_LOGO_BYTES, MAX_LOGO_PIXELS
from gateway.loopback import served
from tests.serving import Served

PATH = "/v1/account/branding"


def picture(size: tuple[int, int] = (40, 20), kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new("RGB", size, "#123456").save(file, kind)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 pixels wide and high."""
    small = picture()
    header = small[12:16] + (60_000).to_bytes(4, "big") * 2 + small[24:29]
    return small[:12] + header + zlib.crc32(header).to_bytes(4, "big") + small[33:]


FILES = {
    "good": (200, picture(kind="WEBP") + b"<script>alert(1)</script>"),
    "svg": (200, b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'),
    "cut": (200, picture((400, 400))[:60]),
    "bomb": (200, bomb()),
    "wide": (200, picture((MAX_LOGO_PIXELS + 1, 1))),
    "long": (200, bytes(MAX_LOGO_BYTES + 1)),
    "gone": (404, b""),
}
REFUSALS = {
    "svg": "expected a PNG, JPEG or WebP picture",
    "cut": "expected a PNG, JPEG or WebP picture",
    "bomb": "expected a PNG, JPEG or WebP picture",
    "wide": "larger than 4096 pixels",
    "long": "larger than 524288 bytes",
    "gone": "answered with 404",
    "moved": "answered with 307",
}


def site() -> Starlette:
    async def file(request: object) -> Response:
        status, body = FILES[request.path_params["name"]]  # type: ignore[attr-defined]
        return Response(body, status_code=status, media_type="image/png")

    async def moved(request: object) -> Response:
        return RedirectResponse("/good")

    return Starlette(routes=[Route("/moved", moved), Route("/{name}", file)])


async def test_an_account_says_how_its_pages_look(served_heddle: Served) -> None:
    admin = await served_heddle.client()
    assert (await admin.get(PATH)).json()["color"] is None
    async with served(lambda _: site()) as url:
        brand = {"name": " Sunflower ", "color": "#FFCC00", "logo_url": f"{url}/good"}
        put = await admin.put(PATH, json=brand)
        assert put.status_code == 200, put.text
        shown = put.json()
        assert (shown["name"], shown["color"], shown["text_color"]) == ("Sunflower", "#ffcc00", "#0b0c0f")
        for name, refusal in REFUSALS.items():
            refused = await admin.put(PATH, json={"logo_url": f"{url}/{name}"})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "logo_url"), name
            assert refusal in refused.json()["error"]["message"], name
    assert (await admin.get(PATH)).json() == shown
    logo = await admin.get(shown["logo_path"])
    assert logo.headers["content-type"] == "image/png"
    assert logo.headers["x-content-type-options"] == "nosniff"
    assert b"script" not in logo.content
    assert Image.open(BytesIO(logo.content)).size == (40, 20)
    await admin.put(PATH, json={})
    assert (await admin.get(shown["logo_path"])).status_code == 404


async def test_bad_branding_is_refused_by_name(sqlite_heddle: Served) -> None:
    admin = await sqlite_heddle.client()
    for body, named in (
        ({"color": "red"}, "color"),
        ({"color": "#fff"}, "color"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"logo_url": "ftp://files.example/logo.png"}, "logo_url"),
        ({"logo_url": "http://10.0.0.1/logo.png"}, "logo_url"),
    ):
        refused = await admin.put(PATH, json=body)
        assert refused.status_code == 400, body
        assert named in refused.json()["error"]["message"], body
    standard, _ = await sqlite_heddle.mint(name="app")
    assert (await standard.put(PATH, json={"name": "Mine"})).status_code == 403


@pytest.mark.parametrize("sha256", ["0" * 64, "x", "..%2f..%2fetc%2fpasswd"])
async def test_a_logo_that_nobody_has_is_not_there(sqlite_heddle: Served, sha256: str) -> None:
    client = await sqlite_heddle.client()
    assert (await client.get(f"/connect/logo/{sha256}.png")).status_code == 404


async def test_a_test_account_looks_like_its_live_account(sqlite_heddle: Served) -> None:
    admin = await sqlite_heddle.client()
    await admin.put(PATH, json={"name": "Sunflower"})
    tester, _ = await sqlite_heddle.mint(name="test", mode="test", scope="admin")
    assert (await tester.get(PATH)).json()["name"] == "Sunflower"
    refused = await tester.put(PATH, json={"name": "Other"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "live_key_required")
