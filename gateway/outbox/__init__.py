"""Events for an account's subscribers, written in the transaction that they tell of."""
