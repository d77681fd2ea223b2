"""``idempotency-key``: a request that is sent again is carried out once, and answered as it was."""
