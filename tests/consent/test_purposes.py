"""The words people read: complete, in both languages, and never edited once published."""

from __future__ import annotations

import pytest

from consent.purposes import PURPOSES, Notice, Purpose
from consent.records import PII_INFORMATION

PUBLISHED = {
    # A published notice is pinned: change words by adding a version, never by editing one.
    (
        "school-mobility",
        "2025-06",
    ): "b22a74a9f348e1742de8d91dc200d743ced6852904b340623b77569b0ffb16f3",
    ("linking", "2025-06"): "0d076c743342677b571bb61d8dc3faa32a4537440942de5f7e734ac6cd3ea7d7",
    ("follow-up", "2025-06"): "7d49a492cbba89f0ea11f525fff80a6e0452b91a43aedcd93705b03e3d42b60e",
    ("recontact", "2025-06"): "6c7891eadba3ab66c0048a1ad59173707fed5047ddec32523bfd5c6c5354469f",
}

ALL = [pytest.param(purpose, id=purpose.id) for purpose in PURPOSES.values()]


def test_the_list_is_closed_and_keyed_by_id() -> None:
    assert {key: purpose.id for key, purpose in PURPOSES.items()} == {
        key: key for key in ("school-mobility", "linking", "follow-up", "recontact")
    }
    assert set(PII_INFORMATION) == set(PURPOSES)


@pytest.mark.parametrize("purpose", ALL)
def test_everything_is_said_in_both_languages(purpose: Purpose) -> None:
    for notice in purpose.notices:
        for words in (purpose.title, notice.why, notice.what, notice.how_long, notice.choice):
            assert set(words) == {"fr", "en"}
            assert all(text.strip() for text in words.values())


@pytest.mark.parametrize("purpose", ALL)
def test_sentences_are_short_enough_for_a_teenager(purpose: Purpose) -> None:
    for notice in purpose.notices:
        for words in (notice.why, notice.what, notice.how_long, notice.choice):
            for text in words.values():
                for sentence in text.replace(":", ".").replace(";", ".").split("."):
                    assert len(sentence.split()) <= 36, sentence


def test_published_notices_are_never_edited() -> None:
    digests = {
        (purpose.id, notice.version): notice.digest
        for purpose in PURPOSES.values()
        for notice in purpose.notices
    }
    assert digests == PUBLISHED


@pytest.mark.parametrize("purpose", ALL)
def test_versions_are_unique_and_in_order(purpose: Purpose) -> None:
    dates = [notice.published_on for notice in purpose.notices]
    assert dates == sorted(dates)
    assert len({notice.version for notice in purpose.notices}) == len(purpose.notices)
    assert purpose.notice_version == purpose.notices[-1].version
    assert purpose.published(purpose.notice_version) is purpose.notice
    assert purpose.published("1999-01") is None


def test_one_changed_word_changes_the_digest() -> None:
    notice = PURPOSES["linking"].notice
    for field in ("why", "what", "how_long", "choice"):
        words = dict(getattr(notice, field))
        parts = {name: getattr(notice, name) for name in ("why", "what", "how_long", "choice")}
        changed = Notice(
            notice.version, notice.published_on, **parts | {field: words | {"fr": "!"}}
        )
        assert changed.digest != notice.digest
