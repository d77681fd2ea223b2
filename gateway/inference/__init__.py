"""Calls to model providers: who serves which model at what price, and the metered pass-through."""
