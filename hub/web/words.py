"""The pages' words: French first, English beside, and how numbers and dates are said.

A msgid is the French sentence itself. The English catalogue is a .po file read at start, so that a
correction needs no build step; French needs no catalogue, only its no-break spaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.dates import format_date, format_datetime, get_timezone
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import Translations

from hub.errors import Language

LOCALE: Final = Path(__file__).parent / "locale"
LANGUAGES: Final[tuple[Language, ...]] = ("fr", "en")
LANGUAGE_COOKIE: Final = "lang"
ZONE: Final = "Europe/Paris"

_TIGHT = re.compile(r" (?=[:;?!»%€])|(?<=«) ")
_RANGE = re.compile(r"^\s*([a-zA-Z]{1,8})(?:-[a-zA-Z0-9-]+)?\s*(?:;\s*q=([0-9.]{1,5}))?\s*$")


def _spaced(text: str) -> str:
    """French, with the no-break spaces its punctuation wants."""
    return _TIGHT.sub("\N{NO-BREAK SPACE}", text)


class French(NullTranslations):
    """French as written in the templates, with the no-break spaces its punctuation wants."""

    def gettext(self, message: str) -> str:
        """The message itself."""
        return _spaced(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        """Singular for 0 and 1, as in French."""
        return self.gettext(msgid1 if n < 2 else msgid2)


@cache
def catalogue(language: Language) -> NullTranslations:
    """The translations of a language, read once. Same object for the life of the process."""
    if language == "fr":
        return French()
    with (LOCALE / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        messages = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, messages)
    compiled.seek(0)
    return Translations(compiled)


def N_(message: str) -> str:  # noqa: N802 - gettext's own name, which the extractor knows
    """Mark a message kept in a table for extraction; it is said later by `say`."""
    return message


def say(language: Language, message: str) -> str:
    """One message in one language."""
    return catalogue(language).gettext(message)


def said(language: Language, text: str | Mapping[str, str]) -> str:
    """What was written elsewhere in this language, or in each, as the pages write it."""
    words = text if isinstance(text, str) else text[language]
    return _spaced(words) if language == "fr" else words


def known(name: str | None) -> Language | None:
    """`name` if it is a language of the pages."""
    return next((language for language in LANGUAGES if language == name), None)


def preferred(accept: str) -> Language:
    """The page language an `Accept-Language` header asks for; French where it says nothing."""
    best: tuple[float, Language] = (0.0, "fr")
    for item in accept[:500].split(","):
        match = _RANGE.match(item)
        language = known(match[1].lower()) if match else None
        if match is None or language is None:
            continue
        try:
            weight = float(match[2] or 1)
        except ValueError:
            continue
        if weight > best[0]:
            best = (weight, language)
    return best[1]


def choose(asked: str | None, cookie: str | None, accept: str) -> Language:
    """Language of an answer: asked in the address, else remembered, else the browser's."""
    return known(asked) or known(cookie) or preferred(accept)


def number(value: float, language: Language, digits: int = 0) -> str:
    """A number with at most `digits` decimals, grouped as the language does."""
    pattern = "#,##0" + ("." + "#" * digits if digits else "")
    return format_decimal(value, format=pattern, locale=language)


def percent(value: float, language: Language) -> str:
    """`value` is in percent (0–100)."""
    return format_percent(value / 100, locale=language)


def day(value: date, language: Language) -> str:
    """A day, with its name."""
    return format_date(value, format="EEEE d MMMM y", locale=language)


def moment(value: datetime, language: Language) -> str:
    """An instant, in the region's own time."""
    return format_datetime(
        value, format="d MMMM y, HH:mm", tzinfo=get_timezone(ZONE), locale=language
    )
