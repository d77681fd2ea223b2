"""All built-in tools."""

from types import MappingProxyType

from broker.builtins import (
    airtable_record,
    brave_search,
    calculator,
    current_time,
    discord_message,
    e2b_code,
    exa_search,
    fetch_page,
    github_issue,
    github_search,
    google_calendar_event,
    http_call,
    hubspot_contact,
    image_generation,
    jira_issue,
    linear_issue,
    notion_page,
    notion_search,
    piston_code,
    postmark_email,
    resend_email,
    sendgrid_email,
    slack_message,
    smtp_email,
    stripe_customer_lookup,
    tavily_search,
    telegram_message,
    twilio_sms,
    zendesk_ticket,
)
from broker.builtins.builtin import PREFIX, Builtin
from kit.errors import NotFound

BUILTINS: tuple[Builtin, ...] = (
    http_call.TOOL,
    brave_search.TOOL,
    tavily_search.TOOL,
    exa_search.TOOL,
    fetch_page.TOOL,
    resend_email.TOOL,
    postmark_email.TOOL,
    sendgrid_email.TOOL,
    smtp_email.TOOL,
    twilio_sms.TOOL,
    slack_message.TOOL,
    discord_message.TOOL,
    telegram_message.TOOL,
    github_issue.TOOL,
    github_search.TOOL,
    linear_issue.TOOL,
    notion_page.TOOL,
    notion_search.TOOL,
    jira_issue.TOOL,
    zendesk_ticket.TOOL,
    hubspot_contact.TOOL,
    google_calendar_event.TOOL,
    airtable_record.TOOL,
    stripe_customer_lookup.TOOL,
    image_generation.TOOL,
    e2b_code.TOOL,
    piston_code.TOOL,
    current_time.TOOL,
    calculator.TOOL,
)
_BY_NAME = MappingProxyType(
    {name: builtin for builtin in BUILTINS for name in (builtin.slug, *builtin.aliases)}
)


def known(provider: str) -> Builtin | None:
    """The built-in of a name, with or without its prefix."""
    return _BY_NAME.get(provider.removeprefix(PREFIX))


def find(provider: str) -> Builtin:
    """The built-in of a name, with or without its prefix. Raises NotFound."""
    builtin = known(provider)
    if builtin is None:
        raise NotFound(
            f"there is no built-in tool {provider[:100]}; GET /v1/builtins lists them",
            code="unknown_provider",
            param="provider",
        )
    return builtin
