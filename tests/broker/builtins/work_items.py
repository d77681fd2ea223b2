"""What the vendors of issues, pages, tickets and records document."""

import base64

from tests.broker.builtins.exchange import Exchange

GITHUB = {
    "accept": "application/vnd.github+json",
    "x-github-api-version": "2022-11-28",
    "authorization": "Bearer ghp_secret0123456789",
}
TEAM = "9cfb482a-81e3-4154-b5b9-2c805e70a02d"
PAGE = "59833787-2cf9-4fdf-8782-e53db20768a5"
NOTION = {"authorization": "Bearer ntn_secret_0123456789", "notion-version": "2025-09-03"}


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


EXCHANGES = [
    Exchange(
        "github-issue",
        {"token": "ghp_secret0123456789", "repository": "acme/loom"},
        {"title": "It jams", "body": "Often.", "labels": ["bug"], "assignees": ["ada"]},
        "POST",
        "https://api.github.com/repos/acme/loom/issues",
        GITHUB,
        {"number": 7, "html_url": "https://github.com/acme/loom/issues/7", "state": "open", "id": 1},
        {"number": 7, "url": "https://github.com/acme/loom/issues/7", "state": "open"},
        {"message": "Validation Failed", "errors": [{"resource": "Label", "code": "invalid"}]},
        'Validation Failed; [{"resource":"Label","code":"invalid"}]',
        json={"title": "It jams", "body": "Often.", "labels": ["bug"], "assignees": ["ada"]},
        status=201,
        refused_with=422,
    ),
    Exchange(
        "github-search",
        {"token": "ghp_secret0123456789", "scope": "org:acme"},
        {"query": "jams state:open", "count": 2},
        "GET",
        "https://api.github.com/search/issues",
        GITHUB,
        {
            "total_count": 1,
            "items": [{"title": "It jams", "html_url": "https://x", "number": 7, "user": {"login": "ada"}}],
        },
        {"total": 1, "results": [{"title": "It jams", "url": "https://x", "number": 7, "author": "ada"}]},
        {"message": "Validation Failed", "errors": [{"message": "The listed users cannot be searched"}]},
        "cannot be searched",
        params={"q": "jams state:open is:issue org:acme", "per_page": "2"},
        refused_with=422,
    ),
    Exchange(
        "linear-create-issue",
        {"api_key": "lin_api_secret0123456789", "team_id": TEAM},
        {"title": "It jams", "description": "Often.", "priority": 2},
        "POST",
        "https://api.linear.app/graphql",
        {"authorization": "lin_api_secret0123456789"},
        {
            "data": {
                "issueCreate": {"success": True, "issue": {"id": "i", "identifier": "LOOM-7", "url": "u"}}
            }
        },
        {"identifier": "LOOM-7", "url": "u", "id": "i"},
        {
            "errors": [
                {
                    "message": "Argument Validation Error",
                    "extensions": {"userPresentableMessage": "teamId must be a UUID."},
                }
            ]
        },
        "teamId must be a UUID.",
        json={
            "query": "mutation($input: IssueCreateInput!) "
            "{ issueCreate(input: $input) { success issue { id identifier url title } } }",
            "variables": {
                "input": {"teamId": TEAM, "title": "It jams", "description": "Often.", "priority": 2}
            },
        },
        refused_with=200,
    ),
    Exchange(
        "notion-page",
        {"token": "ntn_secret_0123456789", "parent_page_id": PAGE},
        {"title": "Notes", "text": "One.\n\nTwo."},
        "POST",
        "https://api.notion.com/v1/pages",
        NOTION,
        {"object": "page", "id": "p1", "url": "https://notion.so/p1"},
        {"id": "p1", "url": "https://notion.so/p1"},
        {"object": "error", "status": 404, "code": "object_not_found", "message": "Could not find page."},
        "Could not find page.",
        json={
            "parent": {"page_id": PAGE},
            "properties": {"title": {"title": [{"type": "text", "text": {"content": "Notes"}}]}},
            "children": [
                {
                    "object": "block",
                    "type": "paragraph",
                    "paragraph": {"rich_text": [{"type": "text", "text": {"content": words}}]},
                }
                for words in ("One.", "Two.")
            ],
        },
        refused_with=404,
    ),
    Exchange(
        "notion-search",
        {"token": "ntn_secret_0123456789"},
        {"query": "Notes", "kind": "page", "count": 3},
        "POST",
        "https://api.notion.com/v1/search",
        NOTION,
        {
            "object": "list",
            "results": [
                {
                    "object": "page",
                    "id": "p1",
                    "url": "https://notion.so/p1",
                    "properties": {"Name": {"type": "title", "title": [{"plain_text": "Notes"}]}},
                }
            ],
            "has_more": False,
        },
        {
            "results": [{"title": "Notes", "kind": "page", "id": "p1", "url": "https://notion.so/p1"}],
            "has_more": False,
        },
        {"object": "error", "status": 400, "code": "validation_error", "message": "body failed validation"},
        "body failed validation",
        json={"query": "Notes", "page_size": 3, "filter": {"property": "object", "value": "page"}},
    ),
    Exchange(
        "jira-issue",
        {"site": "acme", "email": "a@acme.example", "api_token": "atlassian-secret", "project": "LOOM"},
        {"summary": "It jams", "description": "Often.\n\nLoudly.", "issue_type": "Bug"},
        "POST",
        "https://acme.atlassian.net/rest/api/3/issue",
        {"authorization": basic("a@acme.example:atlassian-secret")},
        {"id": "10000", "key": "LOOM-24", "self": "https://acme.atlassian.net/rest/api/3/issue/10000"},
        {"key": "LOOM-24", "id": "10000", "url": "https://acme.atlassian.net/browse/LOOM-24"},
        {"errorMessages": [], "errors": {"project": "project is required"}},
        '{"project":"project is required"}',
        json={
            "fields": {
                "project": {"key": "LOOM"},
                "issuetype": {"name": "Bug"},
                "summary": "It jams",
                "description": {
                    "type": "doc",
                    "version": 1,
                    "content": [
                        {"type": "paragraph", "content": [{"type": "text", "text": words}]}
                        for words in ("Often.", "Loudly.")
                    ],
                },
            }
        },
        status=201,
    ),
    Exchange(
        "zendesk-ticket",
        {"subdomain": "acme", "email": "agent@acme.example", "api_token": "zendesk-secret"},
        {"subject": "Help", "text": "It jams.", "requester_email": "ada@example.com", "priority": "high"},
        "POST",
        "https://acme.zendesk.com/api/v2/tickets.json",
        {"authorization": basic("agent@acme.example/token:zendesk-secret"), "idempotency-key": "KEY"},
        {"ticket": {"id": 35436, "status": "new", "subject": "Help"}},
        {"id": 35436, "status": "new", "url": "https://acme.zendesk.com/agent/tickets/35436"},
        {"error": "RecordInvalid", "description": "Record validation errors", "details": {"base": []}},
        "Record validation errors; RecordInvalid",
        json={
            "ticket": {
                "subject": "Help",
                "priority": "high",
                "comment": {"body": "It jams."},
                "requester": {"email": "ada@example.com", "name": "ada@example.com"},
            }
        },
        status=201,
        refused_with=422,
    ),
    Exchange(
        "hubspot-contact",
        {"access_token": "pat-secret-0123456789"},
        {"email": "ada@example.com", "first_name": "Ada", "properties": {"jobtitle": "Engineer"}},
        "POST",
        "https://api.hubapi.com/crm/objects/2026-03/contacts/batch/upsert",
        {"authorization": "Bearer pat-secret-0123456789"},
        {"status": "COMPLETE", "results": [{"id": "51", "new": True, "properties": {"firstname": "Ada"}}]},
        {"id": "51", "created": True, "properties": {"firstname": "Ada"}},
        {"status": "error", "category": "VALIDATION_ERROR", "message": 'Property "x" does not exist'},
        'Property "x" does not exist',
        json={
            "inputs": [
                {
                    "id": "ada@example.com",
                    "idProperty": "email",
                    "properties": {"jobtitle": "Engineer", "firstname": "Ada", "email": "ada@example.com"},
                }
            ]
        },
    ),
    Exchange(
        "airtable-record",
        {"access_token": "patSecret.0123456789", "base_id": "appLkNDICXNqxSDhG"},
        {"fields": {"Name": "Ada"}, "table": "Work items/2026"},
        "POST",
        "https://api.airtable.com/v0/appLkNDICXNqxSDhG/Work%20items%2F2026",
        {"authorization": "Bearer patSecret.0123456789"},
        {"records": [{"id": "rec1", "createdTime": "2026-09-12T21:03:48.000Z", "fields": {"Name": "Ada"}}]},
        {"id": "rec1", "created_at": "2026-09-12T21:03:48.000Z", "fields": {"Name": "Ada"}},
        {"error": {"type": "UNKNOWN_FIELD_NAME", "message": 'Unknown field name: "Nam"'}},
        'Unknown field name: "Nam"',
        json={"records": [{"fields": {"Name": "Ada"}}], "typecast": True},
        refused_with=422,
    ),
]
