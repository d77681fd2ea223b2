"""The front door: HTTP app, keys and accounts, billing, model providers, CLI, and all the wiring."""
