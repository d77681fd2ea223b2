"""Tools: the registry, schemas, and dispatch over MCP and signed webhooks."""
