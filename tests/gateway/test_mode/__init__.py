"""Test mode: keys that reach the simulated provider for play money, apart from everything live."""
