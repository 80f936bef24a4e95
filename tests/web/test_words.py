"""Every word of the pages is there in both languages."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from consent.purposes import PURPOSES
from hub.web import labels, words
from hub.web.render import TEMPLATES

WEB = TEMPLATES.parent
PO = words.LOCALE / "en" / "LC_MESSAGES" / "messages.po"
AS_IS = {"·", "…", "CSV", "JSON", "Parquet", "English", "Français", "O(n)"}
SPOKEN = {"aria-label", "title", "alt", "placeholder", "content"}
FIXED = {"width=device-width, initial-scale=1", "light dark"}


def said() -> set[str]:
    """Every msgid of templates and tables."""
    found: set[str] = set()
    options = {"trimmed": "true", "newstyle_gettext": "true"}
    for path in TEMPLATES.glob("*.html"):
        for _, message, _, _ in extract_from_file(
            "jinja2.ext:babel_extract", path, options=options
        ):
            found.add(message if isinstance(message, str) else message[0])
    for path in WEB.glob("*.py"):
        for _, message, _, _ in extract_from_file("python", path, keywords={"N_": None}):
            found.add(message if isinstance(message, str) else message[0])
    return found


def test_english_says_everything_and_nothing_else() -> None:
    with PO.open("rb") as file:
        catalogue = read_po(file, locale="en")
    english = {
        message.id if isinstance(message.id, str) else message.id[0]: message
        for message in catalogue
        if message.id
    }
    here = said()
    assert here - set(english) == set(), "in the pages, not in the catalogue"
    assert set(english) - here == set(), "in the catalogue, not in the pages"
    for name, message in english.items():
        many = message.string or ()
        strings = [many] if isinstance(many, str) else list(many)
        assert all(strings), f"not translated: {name}"
        assert not message.fuzzy, name
        for string in strings:
            assert set(re.findall(r"%\(\w+\)s|\{n\}", string)) <= set(
                re.findall(r"%\(\w+\)s|\{n\}", "".join(message.id))
            ), f"other blanks than: {name}"
            assert not re.search(r"%(?!\()", string.replace("%%", "")), f"a bare % in: {string}"


class Bare(HTMLParser):
    """Collects text and spoken attributes of a template's own HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for n, v in attrs if v and n in SPOKEN and v not in FIXED]


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_template_speaks_for_itself(path: Path) -> None:
    assert bare_words(path.read_text("utf-8")) == []


def bare_words(template: str) -> list[str]:
    outside, translating = [], False
    for _, kind, value in Environment(extensions=["jinja2.ext.i18n"]).lex(template):
        if kind == "name" and value in ("trans", "endtrans"):
            translating = value == "trans"
        elif kind == "data" and not translating:
            outside.append(value)
        elif kind.endswith("_begin"):
            outside.append(" ")
    parser = Bare()
    parser.feed("".join(outside))
    parser.close()
    texts = (word for text in parser.found for word in text.split())
    return [word for word in texts if word not in AS_IS and re.search(r"[^\W\d_]", word)]


def test_the_check_sees_bare_words() -> None:
    assert bare_words("<p>Bonjour {{ x }}</p>{% trans %}oui{% endtrans %}") == ["Bonjour"]
    assert bare_words('<p aria-label="Fermer">{{ _("x") }}</p>') == ["Fermer"]


def test_french_keeps_its_punctuation_on_the_line() -> None:
    assert words.say("fr", "Pourquoi ? « Oui » : 5 %") == (
        "Pourquoi\N{NO-BREAK SPACE}? «\N{NO-BREAK SPACE}Oui\N{NO-BREAK SPACE}»"
        "\N{NO-BREAK SPACE}: 5\N{NO-BREAK SPACE}%"
    )


def test_what_was_written_elsewhere_is_spaced_too_and_nothing_else_is_said() -> None:
    both = {"fr": "Raté : recommence.", "en": "Missed: again."}
    assert words.said("fr", both) == "Raté\N{NO-BREAK SPACE}: recommence."
    assert words.said("fr", both["fr"]) == words.said("fr", both)
    assert words.said("en", both) == both["en"]
    assert [words.said(language, "") for language in words.LANGUAGES] == ["", ""]


def test_a_purpose_has_its_name_and_another_its_code() -> None:
    assert labels.purpose("fr", "school-mobility") == PURPOSES["school-mobility"].title["fr"]
    assert labels.purpose("en", "school-mobility") == PURPOSES["school-mobility"].title["en"]
    assert labels.purpose("fr", "of-another-time") == "of-another-time"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "fr"),
        ("en", "en"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("de,en;q=0.5,fr;q=0.4", "en"),
        ("de", "fr"),
        ("en;q=0", "fr"),
        ("en;q=.", "fr"),
    ],
)
def test_the_browser_is_listened_to(header: str, language: str) -> None:
    assert words.preferred(header) == language


@given(st.text(max_size=300))
def test_any_header_gives_a_language(header: str) -> None:
    assert words.preferred(header) in words.LANGUAGES


def test_numbers_are_said_as_the_language_does() -> None:
    assert words.percent(40, "fr").replace("\u202f", " ").replace("\xa0", " ") == "40 %"
    assert words.percent(40, "en") == "40%"
    assert words.number(1234, "en") == "1,234"
    assert words.number(12.5, "fr", 1) == "12,5"


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert labels.label("en", "mode", "hoverboard") == "hoverboard"
    assert labels.modes("en", ("car", "other")) == "Car + Other"
