"""Paying through Stripe: top-ups, packs, monthly plans, automatic top-ups, refunds and disputes.

Invariants (the tests in ``tests/gateway/billing/stripe`` try to break them):
- one Stripe object (payment, invoice, refund, dispute) moves the balance at most once each way, whatever the
  order, repetition or concurrency of the events that tell of it: ledger entries are named after the object;
- what is credited is what Stripe says was paid, in USD, for a payment that was begun here;
- what a payment's refunds and disputes take back is never more than the payment gave, and taking it back
  never breaks the wallet: what is not free becomes a debt that later money pays first;
- an event is recorded in the transaction that applies it; no transaction waits for the network.
"""
