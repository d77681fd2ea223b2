"""What the vendors of searches, look-ups and sandboxes document."""

from tests.broker.builtins.exchange import Exchange

EXCHANGES = [
    Exchange(
        "web-search",
        {"api_key": "BSA-secret-0123456789", "country": "DE"},
        {"query": "power looms", "count": 3},
        "GET",
        "https://api.search.brave.com/res/v1/web/search",
        {"x-subscription-token": "BSA-secret-0123456789"},
        {
            "web": {
                "results": [
                    {
                        "title": "Looms",
                        "url": "https://example.com",
                        "description": "About looms",
                        "page_age": "2026-01-15",
                        "profile": {},
                    }
                ]
            }
        },
        {
            "results": [
                {"title": "Looms", "url": "https://example.com", "text": "About looms", "age": "2026-01-15"}
            ]
        },
        {"type": "ErrorResponse", "error": {"code": "VALIDATION", "detail": "Unable to validate request"}},
        "Unable to validate request",
        params={"q": "power looms", "count": "3", "text_decorations": "false", "country": "DE"},
        refused_with=422,
    ),
    Exchange(
        "web-search-tavily",
        {"api_key": "tvly-secret-0123456789"},
        {"query": "power looms", "topic": "news"},
        "POST",
        "https://api.tavily.com/search",
        {"authorization": "Bearer tvly-secret-0123456789"},
        {
            "query": "power looms",
            "results": [{"title": "Looms", "url": "https://example.com", "content": "About", "score": 0.9}],
        },
        {"results": [{"title": "Looms", "url": "https://example.com", "text": "About"}]},
        {"detail": {"error": "Query is too long"}},
        "Query is too long",
        json={"query": "power looms", "max_results": 5, "topic": "news", "search_depth": "basic"},
    ),
    Exchange(
        "web-search-exa",
        {"api_key": "exa-secret-0123456789"},
        {"query": "power looms", "count": 1},
        "POST",
        "https://api.exa.ai/search",
        {"x-api-key": "exa-secret-0123456789"},
        {
            "requestId": "r",
            "results": [
                {
                    "title": "Looms",
                    "url": "https://example.com",
                    "publishedDate": "2026-01-01",
                    "author": None,
                    "text": "About",
                }
            ],
        },
        {"results": [{"title": "Looms", "url": "https://example.com", "text": "About", "age": "2026-01-01"}]},
        {"requestId": "r", "error": "Invalid request body", "tag": "INVALID_REQUEST_BODY"},
        "Invalid request body",
        json={
            "query": "power looms",
            "numResults": 1,
            "type": "auto",
            "contents": {"text": {"maxCharacters": 1500}},
        },
    ),
    Exchange(
        "stripe-customer-lookup",
        {"api_key": "rk_live_secret0123456789"},
        {"email": "jenny@example.com"},
        "GET",
        "https://api.stripe.com/v1/customers",
        {"authorization": "Bearer rk_live_secret0123456789"},
        {
            "object": "list",
            "data": [
                {
                    "id": "cus_1",
                    "email": "jenny@example.com",
                    "delinquent": False,
                    "default_source": None,
                    "subscriptions": {
                        "data": [
                            {
                                "id": "sub_1",
                                "status": "active",
                                "cancel_at_period_end": True,
                                "items": {"data": [{"price": {"id": "price_1", "nickname": None}}]},
                            }
                        ]
                    },
                }
            ],
        },
        {
            "customers": [
                {
                    "id": "cus_1",
                    "email": "jenny@example.com",
                    "delinquent": False,
                    "subscriptions": [
                        {
                            "id": "sub_1",
                            "status": "active",
                            "price": "price_1",
                            "cancels_at_period_end": True,
                        }
                    ],
                }
            ]
        },
        {"error": {"type": "invalid_request_error", "message": "Invalid email address"}},
        "Invalid email address",
        params={"email": "jenny@example.com", "limit": "10", "expand[]": "data.subscriptions"},
    ),
    Exchange(
        "code-execution-piston",
        {"url": "https://sandbox.acme.example", "authorization": "Bearer piston-secret"},
        {"code": "print(1)", "stdin": "x"},
        "POST",
        "https://sandbox.acme.example/api/v2/execute",
        {"authorization": "Bearer piston-secret"},
        {
            "language": "python",
            "version": "3.12.0",
            "run": {"stdout": "1\n", "stderr": "", "code": 0, "signal": None, "output": "1\n"},
        },
        {"language": "python", "version": "3.12.0", "stdout": "1\n", "stderr": "", "exit_code": 0},
        {"message": "python-9 runtime is unknown"},
        "runtime is unknown",
        json={"language": "python", "version": "*", "files": [{"content": "print(1)"}], "stdin": "x"},
    ),
]
