"""Every client dialect before every provider dialect, over HTTP: what the provider hears, what the client
reads."""
