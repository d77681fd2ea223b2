"""Who may act for whom: the vendor catalogue, connect sessions, OAuth, and connections per end user."""
