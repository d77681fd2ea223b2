"""Everything that Stripe needs, wired: built only where the operator has set a key."""

from gateway.billing.billing import Billing
from gateway.billing.stripe.api import StripeApi
from gateway.billing.stripe.auto_charges import AutoCharges
from gateway.billing.stripe.checkout import Checkouts
from gateway.billing.stripe.customers import Customers
from gateway.billing.stripe.settings import StripeSettings
from gateway.billing.stripe.webhook import StripeWebhook
from kit.clock import Clock
from kit.db import Database


class StripeBilling:
    """``start`` it, then ``close`` it."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        billing: Billing,
        settings: StripeSettings,
        *,
        secret_key: str,
        webhook_secrets: tuple[str, ...],
        public_url: str,
    ) -> None:
        self.db = db
        self.settings = settings
        self.public_url = public_url
        self.api = StripeApi(secret_key, api_url=settings.api_url)
        self.customers = Customers(db, clock, self.api)
        self.checkouts = Checkouts(db, clock, self.api, self.customers, settings, public_url=public_url)
        self.webhook = StripeWebhook(db, clock, settings, secrets=webhook_secrets)
        self.auto_charges = AutoCharges(db, clock, self.api, self.customers)
        billing.on_settled(self.auto_charges.settled)

    async def start(self) -> None:
        await self.auto_charges.start()

    async def close(self) -> None:
        await self.auto_charges.close()
        await self.api.close()
