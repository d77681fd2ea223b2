"""``heddle demo``: one conversation from end to end, with real servers on loopback ports."""
