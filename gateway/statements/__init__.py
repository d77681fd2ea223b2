"""What a developer bills one of its end users for a month."""
