"""Tools that come with Heddle: what each is, and calling it for an account or as its end user."""
