"""Heddle as an MCP server: the tools of an account, called by its own MCP clients at ``/mcp``."""
