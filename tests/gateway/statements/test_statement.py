"""What a statement adds up, and how it prints."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.billing.prices import ModelPrice, TokenUsage, UnitPrice, cost_of
from gateway.statements.page import statement_page
from gateway.statements.pdf import statement_pdf
from gateway.statements.printed import printed
from gateway.statements.schemas import render_statement
from gateway.statements.statement import Lines, Month, Statement
from kit.errors import InvalidRequest

PRICE = ModelPrice(
    {
        "input": UnitPrice.per_million(Decimal("3")),
        "output": UnitPrice.per_million(Decimal("15")),
        "web_search": UnitPrice(((0, Decimal("0.01")),)),
    }
)


@dataclass
class Event:
    model: str = "sim-large"
    tool: str | None = None
    cost_nanos: int = 0
    breakdown: list[dict[str, Any]] = field(default_factory=list)


def called(model: str = "sim-large", markup: str = "0.07", **usage: Any) -> Event:
    cost = cost_of(TokenUsage(**usage), PRICE, Decimal(markup))
    return Event(model, cost_nanos=cost.nanos, breakdown=cost.breakdown)


def statement(
    *events: Event, markup: str = "0", end_user: str = "user_1", is_complete: bool = True
) -> Statement:
    lines = Lines()
    lines.add(events)
    november = Month.named("2026-11")
    return Statement(end_user, november, Decimal(markup), tuple(lines.dearest_first()), is_complete)


def test_calls_are_added_up_per_model_with_their_units() -> None:
    made = statement(
        called(input_tokens=1_000, output_tokens=200),
        called(input_tokens=500, output_tokens=100, web_searches=2),
        called("sim-small", input_tokens=10),
        Event(tool="search", model="", cost_nanos=7),
        markup="0.5",
    )
    shown = render_statement(made)
    assert [(line["model"], line["tool"], line["calls"]) for line in shown["lines"]] == [
        ("sim-large", None, 2),
        ("sim-small", None, 1),
        (None, "search", 1),
    ]
    assert shown["lines"][0]["units"] == [
        {"unit": "input", "count": 1_500, "unit_cost_usd": "0.00000321", "unit_price_usd": "0.000004815"},
        {"unit": "output", "count": 300, "unit_cost_usd": "0.00001605", "unit_price_usd": "0.000024075"},
        {"unit": "web_search", "count": 2, "unit_cost_usd": "0.0107", "unit_price_usd": "0.01605"},
    ]
    assert shown["lines"][0]["cost_usd"] == "0.03103"
    assert shown["lines"][0]["price_usd"] == "0.046545"
    assert shown["lines"][2]["price_usd"] == "0.000000011"  # 10.5 nanos, half up


def test_a_price_that_changed_within_the_month_has_a_row_of_its_own() -> None:
    made = statement(called(input_tokens=5), called(input_tokens=5, markup="0.1"), called(input_tokens=1))
    units = render_statement(made)["lines"][0]["units"]
    assert [(unit["count"], unit["unit_cost_usd"]) for unit in units] == [(6, "0.00000321"), (5, "0.0000033")]


def test_what_providers_charged_beside_their_lists_is_one_row_without_a_price() -> None:
    made = statement(*(called(reported_usd=Decimal(usd)) for usd in ("0.1", "0.2", "0.3")))
    (line,) = render_statement(made)["lines"]
    assert [(unit["unit"], unit["count"], unit["unit_price_usd"]) for unit in line["units"]] == [
        ("reported_by_provider", 3, None)
    ]
    assert line["cost_usd"] == "0.642"


def test_calls_that_failed_for_nothing_are_not_on_a_statement() -> None:
    made = statement(Event(), called(input_tokens=1), Event())
    assert made.calls == 1


@given(
    st.lists(
        st.builds(
            Event,
            model=st.sampled_from(["a", "b", "c"]),
            tool=st.sampled_from([None, "t"]),
            cost_nanos=st.integers(0, 10**12),
        )
    ),
    st.decimals(0, 10, places=4),
)
def test_totals_are_the_sums_of_their_parts(events: list[Event], markup: Decimal) -> None:
    made = statement(*events, markup=str(markup))
    assert made.cost_nanos == sum(event.cost_nanos for event in events)
    assert made.total_nanos == sum(made.price_nanos(line) for line in made.lines)
    assert abs(made.total_nanos - made.cost_nanos * (1 + markup)) <= Decimal("0.5") * len(made.lines)
    if markup == 0:
        assert made.total_nanos == made.cost_nanos


@pytest.mark.parametrize(
    ("name", "hours"),
    [("2026-11", 30 * 24), ("2026-12", 31 * 24), ("2028-02", 29 * 24), ("1970-01", 31 * 24)],
)
def test_a_month_is_a_calendar_month_in_utc(name: str, hours: int) -> None:
    month = Month.named(name)
    assert month.to_ms - month.from_ms == hours * 3_600_000
    assert Month.of(month.from_ms) == Month.of(month.to_ms - 1) == month
    assert Month.of(month.to_ms) != month


@pytest.mark.parametrize(
    "name", ["", "2026", "2026-13", "2026-00", "26-11", "2026-11-01", "٢٠٢٦-١١", "0000-01"]
)
def test_what_is_no_month_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="month") as refused:
        Month.named(name)
    assert refused.value.param == "month"


def test_the_printed_form_shows_prices_but_not_costs_or_markup() -> None:
    made = statement(called(input_tokens=1_000, web_searches=1), markup="0.5")
    page = printed(made, "Weavers Ltd")
    (line,) = page.lines
    assert (page.title, page.period) == ("Statement November 2026", "1 to 30 November 2026 (UTC)")
    assert [(unit.name, unit.count, unit.price) for unit in line.units] == [
        ("Input tokens", "1,000", "$4.815 per million"),
        ("Web searches", "1", "$0.01605 each"),
    ]
    assert (line.calls, line.amount, page.total, page.due) == ("1 call", "$0.020865", "$0.020865", "$0.02")
    text = bytes(statement_page(page).body).decode()
    assert "$0.020865" in text
    assert "0.01391" not in text  # what the account paid
    assert "markup" not in text


def test_the_page_escapes_what_others_wrote_and_fetches_nothing() -> None:
    evil = '<script src="//evil"></script>'
    made = statement(called(evil, input_tokens=1), end_user=evil)
    response = statement_page(printed(made, evil))
    text = bytes(response.body).decode()
    assert "<script" not in text
    assert text.count("&lt;script") == 4
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "@page { size: A4" in text
    assert "href" not in text
    assert "url(" not in text


def test_a_statement_that_is_not_final_says_so() -> None:
    made = statement(is_complete=False)
    text = bytes(statement_page(printed(made, "Weavers Ltd")).body).decode()
    assert "Preliminary" in text
    assert "No usage in this period" in text


def test_the_pdf_goes_over_as_many_pages_as_it_needs() -> None:
    few = statement_pdf(printed(statement(called(input_tokens=1)), "Weavers Ltd"))
    many = statement_pdf(
        printed(statement(*(called(f"model-{n}", input_tokens=n + 1) for n in range(60))), "Weavers Ltd")
    )
    assert few.startswith(b"%PDF-")
    assert (few.count(b"/Type /Page\n"), many.count(b"/Type /Page\n")) == (1, 4)


def test_the_pdf_takes_any_name() -> None:
    made = statement(called("模型" * 60, input_tokens=1), end_user="Zoë 🧵 " + "x" * 190)
    for name in ("Ткачи", "Weaver’s – Söhne €"):
        assert statement_pdf(printed(made, name)).startswith(b"%PDF-")
