"""A statement as a PDF file (A4), with the fonts that every reader has.

Those fonts know the Windows-1252 characters only (PDF 32000-1, Annex D); any other one is written as its code
point. Names in other scripts print right from the page.
"""

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from gateway.statements.printed import TEST_NOTE, Printed, PrintedLine

_INK, _SOFT, _RULE = (28, 32, 36), (96, 100, 108), (217, 217, 224)
_TEST_RED, _TEST_PALE = (192, 24, 43), (248, 222, 225)
_CHARACTERS = "cp1252"
_MARGIN_MM = 20
_WIDTHS_MM = (72.0, 28.0, 38.0, 32.0)
_LINE_MM = 5.5


def statement_pdf(page: Printed) -> bytes:
    """The file. Takes some CPU time: tens of milliseconds for a page."""
    pdf = _StatementPdf(page)
    pdf.add_page()
    pdf.head()
    for line in page.lines:
        pdf.line_of(line)
    if not page.lines:
        pdf.row(("No usage in this period.", "", "", ""), soft=True)
    pdf.totals()
    return bytes(pdf.output())


class _StatementPdf(FPDF):
    """The document while it is drawn, top to bottom."""

    def __init__(self, page: Printed) -> None:
        super().__init__(format="A4", unit="mm")
        self.page_of = page
        self.core_fonts_encoding = _CHARACTERS
        self.set_margin(_MARGIN_MM)
        self.set_auto_page_break(True, margin=_MARGIN_MM)
        self.set_title(_drawable(f"{page.title} - {page.customer}"))
        self.set_lang("en")

    def header(self) -> None:
        """Of every page. A test's is marked across, so that none of its pages can go out by mistake."""
        if not self.page_of.is_test:
            return
        top = self.get_y()
        self.set_font("helvetica", "B", 150)
        self.set_text_color(*_TEST_PALE)
        with self.rotation(40, self.w / 2, self.h / 2):
            self.text((self.w - self.get_string_width("TEST")) / 2, self.h / 2 + 20, "TEST")
        self.set_y(top)
        self.set_font("helvetica", "B", 10)
        self.set_text_color(*_TEST_RED)
        self.multi_cell(0, _LINE_MM, TEST_NOTE, border=1, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(4)

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("helvetica", size=8)
        self.set_text_color(*_SOFT)
        self.cell(0, 5, f"Page {self.page_no()} of {{nb}}", align="R")

    def head(self) -> None:
        page = self.page_of
        self.set_text_color(*_INK)
        self.set_font("helvetica", "B", 20)
        self.multi_cell(0, 9, _drawable(page.title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_font("helvetica", "B", 11)
        self.multi_cell(0, 8, _drawable(page.seller), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(6)
        for name, value in (("Customer", page.customer), ("Period", page.period)):
            self.set_font("helvetica", size=10)
            self.set_text_color(*_SOFT)
            self.cell(25, _LINE_MM, name)
            self.set_text_color(*_INK)
            self.multi_cell(0, _LINE_MM, _drawable(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if page.is_preliminary:
            self.ln(3)
            note = "Preliminary: this month is not over, and usage may still be added."
            self.multi_cell(0, _LINE_MM, note, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(6)
        self.row(("Usage", "Quantity", "Price", "Amount (USD)"), soft=True)
        self.rule(_INK)

    def line_of(self, line: PrintedLine) -> None:
        """A line with its units, kept on one page where it fits."""
        if self.will_page_break(_LINE_MM * (len(line.units) + 2)):
            self.add_page()
        self.row((line.name, line.calls, "", line.amount), bold=True)
        for unit in line.units:
            self.row((f"   {unit.name}", unit.count, unit.price, ""), soft=True)
        self.rule(_RULE)

    def totals(self) -> None:
        if self.will_page_break(_LINE_MM * 4):
            self.add_page()
        self.row(("", "", "Total", self.page_of.total))
        self.row(
            ("", "", "TEST, not due" if self.page_of.is_test else "Amount due", self.page_of.due), bold=True
        )

    def row(self, cells: tuple[str, str, str, str], *, bold: bool = False, soft: bool = False) -> None:
        """One row of the table; a long first cell goes over several lines."""
        self.set_font("helvetica", "B" if bold else "", 9.5)
        self.set_text_color(*(_SOFT if soft else _INK))
        first, *numbers = (_drawable(cell) for cell in cells)
        top = self.get_y()
        self.set_x(self.l_margin + _WIDTHS_MM[0])
        for width, number in zip(_WIDTHS_MM[1:], numbers, strict=True):
            self.cell(width, _LINE_MM, number, align="R")
        self.set_xy(self.l_margin, top)
        self.multi_cell(_WIDTHS_MM[0], _LINE_MM, first, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rule(self, colour: tuple[int, int, int]) -> None:
        self.set_draw_color(*colour)
        self.line(self.l_margin, self.get_y() + 1, self.w - self.r_margin, self.get_y() + 1)
        self.ln(2)


def _drawable(text: str) -> str:
    return text.encode(_CHARACTERS, "backslashreplace").decode(_CHARACTERS)
