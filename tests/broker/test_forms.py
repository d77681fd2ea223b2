"""The forms by which MCP servers ask: which may be put before an end user, and what fits them."""

from typing import Any

import mcp_types
import pytest

from broker.elicitation import UnusableQuestion, read_question, response_to
from broker.forms import UnusableForm, asks_for_secret, check_form, fitting_content
from kit.errors import InvalidRequest

FIELDS: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "minLength": 2, "maxLength": 5},
    "mail": {"type": "string", "format": "email"},
    "page": {"type": "string", "format": "uri"},
    "day": {"type": "string", "format": "date"},
    "at": {"type": "string", "format": "date-time"},
    "age": {"type": "integer", "minimum": 18, "maximum": 99},
    "share": {"type": "number", "minimum": 0},
    "agreed": {"type": "boolean"},
    "size": {"type": "string", "enum": ["S", "M"]},
    "colour": {"type": "string", "oneOf": [{"const": "#f00", "title": "Red"}]},
    "days": {"type": "array", "items": {"type": "string", "enum": ["mon", "tue"]}, "minItems": 1},
    "parts": {
        "type": "array",
        "items": {"anyOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]},
    },
}
FORM = {"type": "object", "properties": FIELDS}
FITS = [
    {"name": "Ada", "mail": "ada@example.com", "page": "https://a.example/x", "day": "2026-02-28"},
    {"at": "2026-02-28T12:00:00Z", "age": 18, "share": 0.5, "agreed": False, "size": "M"},
    {"colour": "#f00", "days": ["tue"], "parts": [], "name": None},
    {"age": 20.0},
    {},
]
MISFITS = [
    ({"name": "A"}, "content.name: expected a text of 2 to 5 characters"),
    ({"name": 5}, "content.name: expected a text"),
    ({"mail": "ada"}, "content.mail: expected an e-mail address"),
    ({"page": "nowhere"}, "content.page: expected a URI"),
    ({"day": "2026-02-30"}, "content.day: expected a date"),
    ({"at": "2026-02-28"}, "content.at: expected a date and time"),
    ({"age": 17}, "content.age: expected an integer of at least 18 and at most 99"),
    ({"age": 18.5}, "content.age: expected an integer"),
    ({"age": True}, "content.age: expected an integer"),
    ({"share": float("nan")}, "content.share: expected a number"),
    ({"share": "1"}, "content.share: expected a number of at least 0"),
    ({"agreed": 1}, "content.agreed: expected true or false"),
    ({"size": "XL"}, "content.size: expected one of S, M"),
    ({"colour": "Red"}, "content.colour: expected one of #f00"),
    ({"days": []}, "content.days: expected a list of 1 to 2 choices"),
    ({"days": ["wed"]}, "content.days: expected a list of one of mon, tue"),
    ({"days": [{}]}, "content.days: expected a list of one of mon, tue"),
    ({"parts": "a"}, "content.parts: expected a list of one of a, b"),
    ({"pet": "dog"}, "content.pet: the form has no such field"),
    ([], "content: expected an object"),
]
UNUSABLE = [
    ("text", 'expected a schema of type "object"'),
    ({"type": "array"}, 'expected a schema of type "object"'),
    ({"properties": []}, "requestedSchema.properties: expected an object"),
    ({"properties": {str(n): {"type": "string"} for n in range(101)}}, "at most 100 fields"),
    ({"properties": {"a": {"type": "object"}}}, "requestedSchema.properties.a.type: expected one of string"),
    ({"properties": {"a": "string"}}, "requestedSchema.properties.a: expected a schema"),
    (
        {"properties": {"a": {"type": "array", "items": {"type": "string"}}}},
        "properties.a.items: expected choices",
    ),
    (
        {"properties": {"a": {"type": "string", "maxLength": "9"}}},
        "properties.a.maxLength: expected a number",
    ),
    ({"properties": {"a": {"type": "integer", "default": "x"}}}, "properties.a.default: expected an integer"),
    ({"properties": {}, "required": ["a"]}, "requestedSchema.required"),
    ({"description": "x" * 70_000}, "larger than"),
    ({"properties": {"pw": {"type": "string", "format": "password"}}}, "must be asked for by URL"),
    ({"properties": {"a": {"type": "string", "title": "Your API key"}}}, "must be asked for by URL"),
]
SECRETS = "password api_key apiKey APIKey accessToken bot_token clientSecret cardNumber CVV pin passphrase"
NO_SECRETS = "username max_tokens token_count pageToken shopping map_pin key email secretary tokenizer"


@pytest.mark.parametrize("content", FITS)
def test_content_that_fits(content: dict[str, Any]) -> None:
    check_form(FORM)
    kept = {name: value for name, value in content.items() if value is not None}
    assert fitting_content(FORM, content, param="content") == kept


@pytest.mark.parametrize(("content", "said"), MISFITS, ids=[said for _, said in MISFITS])
def test_content_that_does_not_fit(content: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as problem:
        fitting_content(FORM, content, param="content")
    assert said in problem.value.message


@pytest.mark.parametrize(("schema", "said"), UNUSABLE, ids=[said for _, said in UNUSABLE])
def test_forms_that_nobody_is_shown(schema: Any, said: str) -> None:
    with pytest.raises(UnusableForm) as problem:
        check_form(schema)
    assert said in str(problem.value)


def test_defaults_are_filled_in_and_null_is_none() -> None:
    fields = {"bags": {"type": "integer", "default": 1}, "note": {"type": "string", "default": None}}
    schema = {"type": "object", "properties": fields, "required": ["bags"]}
    check_form(schema)
    assert fitting_content(schema, {}, param="content") == {"bags": 1}
    with pytest.raises(InvalidRequest, match="the form requires it"):
        fitting_content({"properties": {"a": {"type": "string"}}, "required": ["a"]}, {}, param="content")


def test_what_counts_as_a_secret() -> None:
    assert [name for name in SECRETS.split() if not asks_for_secret(name, {})] == []
    assert [name for name in NO_SECRETS.split() if asks_for_secret(name, {})] == []


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "/relative",
        "https://u:p@a.example/",
        "https://a.example/ x",
        "https://[::1",
        "https:///x",
    ],
)
def test_urls_that_nobody_is_sent_to(url: str) -> None:
    with pytest.raises(UnusableQuestion, match=r"^url: "):
        read_question("", mcp_types.ElicitRequestURLParams(message="m", url=url))


def test_the_domain_of_a_url_is_shown_as_it_is_resolved() -> None:
    url = "https://\u0430pple.com/x"  # a Cyrillic letter
    question = read_question("k", mcp_types.ElicitRequestURLParams(message="m\0", url=url))
    assert question.shown == {"message": "m\ufffd", "mode": "url", "url": url, "domain": "xn--pple-43d.com"}
    assert response_to(question.shown, "accept", None, param="a") == {"action": "accept"}
