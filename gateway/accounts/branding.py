"""How an account looks to its end users: a name, a colour and a logo for the hosted pages.

A logo is fetched once, when it is set, and made anew from its pixels: a page shows it from our own origin,
and nothing else that the file may have held gets there. A test account looks like its live account.
"""

import asyncio
import hashlib
from io import BytesIO

from PIL import Image
from sqlmodel import Session, col, select

from connectors.brand import Brand
from gateway.accounts.models import Account, AccountBranding
from kit.bounded_fetch import fetch_bounded
from kit.clock import Clock
from kit.db import Database
from kit.errors import InvalidRequest
from kit.outbound import OutboundPolicy

MAX_LOGO_BYTES = 512 * 1024
MAX_LOGO_PIXELS = 4096
"""Of a side: what is larger is not decoded."""
SHOWN_PIXELS = (480, 120)
"""The logo is kept within this width and height."""
FORMATS = ("PNG", "JPEG", "WEBP")
UNREADABLE = (Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError)
NOBODY = Brand("an application")


class Branding:
    """The brands of all accounts (``connectors.brand.Brands``)."""

    def __init__(self, db: Database, clock: Clock, policy: OutboundPolicy) -> None:
        self._db = db
        self._clock = clock
        self._policy = policy

    async def of(self, account_id: str) -> Brand:
        async with self._db.session() as session:
            account = await session.get(Account, account_id)
            if account is None:
                return NOBODY
            row = await session.get(AccountBranding, account.test_of or account.id)
        if row is None:
            return Brand(account.name)
        return Brand(row.name or account.name, row.color, row.logo_sha256)

    async def logo(self, sha256: str) -> bytes | None:
        query = select(AccountBranding.logo).where(AccountBranding.logo_sha256 == sha256)
        async with self._db.session() as session:
            return (await session.exec(query)).first()

    async def get(self, account_id: str) -> AccountBranding:
        """What an account has set; everything None if nothing."""
        async with self._db.session() as session:
            row = await session.get(AccountBranding, await self._owner(account_id))
        return row or AccountBranding(account_id=account_id, updated_at=0)

    async def put(
        self, account_id: str, *, name: str | None, color: str | None, logo_url: str | None
    ) -> AccountBranding:
        """Set all of it; None is the usual. Raises InvalidRequest naming the logo_url, or why its picture
        cannot be used."""
        logo = await self._fetched(logo_url) if logo_url is not None else None
        row = AccountBranding(
            account_id=account_id,
            name=name,
            color=color,
            logo_url=logo_url,
            logo=logo,
            logo_sha256=hashlib.sha256(logo).hexdigest() if logo is not None else None,
            updated_at=self._clock.now_ms(),
        )

        def write(session: Session) -> None:
            session.exec(select(Account).where(col(Account.id) == account_id).with_for_update()).one()
            session.merge(row.model_copy())

        await self._db.write(write)
        return row

    async def _owner(self, account_id: str) -> str:
        async with self._db.session() as session:
            account = await session.get(Account, account_id)
        return (account.test_of if account is not None else None) or account_id

    async def _fetched(self, url: str) -> bytes:
        body = await fetch_bounded(self._policy, url, max_bytes=MAX_LOGO_BYTES, param="logo_url")
        return await asyncio.to_thread(picture_of, body)


def picture_of(body: bytes) -> bytes:
    """A logo's pixels as PNG, no larger than they are shown. Raises InvalidRequest."""
    try:
        with Image.open(BytesIO(body), formats=FORMATS) as image:
            fits = max(image.size) <= MAX_LOGO_PIXELS
            picture = image.convert("RGBA") if fits else None
    except UNREADABLE:
        raise InvalidRequest("logo_url: expected a PNG, JPEG or WebP picture", param="logo_url") from None
    if picture is None:
        raise InvalidRequest(f"logo_url: larger than {MAX_LOGO_PIXELS} pixels", param="logo_url")
    picture.thumbnail(SHOWN_PIXELS)
    made = BytesIO()
    picture.save(made, format="PNG", optimize=True)
    return made.getvalue()
