"""Purposes: the closed list of what a person may be asked to allow, in the words shown to them.

Each purpose is asked, given and ended on its own; none is a condition of another. The words are
for a fourteen-year-old. A published notice is never edited: new words are a new version, because
a grant names the version its person read, and a test pins the digest of every published one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

Words = Mapping[str, str]
"""The same thing said in French (`fr`) and in English (`en`)."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a person read before answering, as it was published.

    `why` is what for, `what` is which facts are kept, `how_long` until when, `choice` how to say
    no and how to change one's mind.
    """

    version: str
    published_on: date
    why: Words
    what: Words
    how_long: Words
    choice: Words

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of every word of the notice: what a receipt can be held against."""
        told = {
            "version": self.version,
            "published_on": self.published_on.isoformat(),
            "why": dict(self.why),
            "what": dict(self.what),
            "how_long": dict(self.how_long),
            "choice": dict(self.choice),
        }
        text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Purpose:
    """One thing a person may allow. `notices` are all versions ever published, oldest first."""

    id: str
    title: Words
    notices: tuple[Notice, ...]

    @property
    def notice(self) -> Notice:
        """The notice shown today."""
        return self.notices[-1]

    @property
    def notice_version(self) -> str:
        """Version of the notice shown today."""
        return self.notice.version

    @property
    def description(self) -> Words:
        """What the purpose is, in one or two plain sentences."""
        return self.notice.why

    def published(self, version: str) -> Notice | None:
        """The notice of that version, None where none was ever published."""
        return next((notice for notice in self.notices if notice.version == version), None)


_FIRST: Final = date(2025, 6, 2)

_CHOICE: Final[Words] = {
    "fr": "C’est toi qui choisis. Dire non ne change rien pour toi, ni au lycée ni dans les "
    "transports. Tu peux arrêter quand tu veux, sans dire pourquoi : ton code suffit. "
    "Si tu as moins de 15 ans, il faut ton accord et celui d’un parent ; chacun de vous deux "
    "peut arrêter.",
    "en": "It is your choice. Saying no changes nothing for you, at school or on the bus. "
    "You can stop whenever you like without saying why: your code is enough. "
    "If you are under 15, both you and a parent have to agree; either of you can stop.",
}

_ALL: Final = (
    Purpose(
        "school-mobility",
        {
            "fr": "Comprendre comment on va au lycée",
            "en": "Understanding how people travel to school",
        },
        (
            Notice(
                "2025-06",
                _FIRST,
                why={
                    "fr": "Compter, avec d’autres, comment les élèves vont au lycée et en "
                    "reviennent, pour améliorer les cars, les pistes cyclables et les horaires. "
                    "On publie des chiffres par lycée, jamais une personne.",
                    "en": "Counting, together with others, how pupils travel to school and back, "
                    "to improve coaches, cycle paths and timetables. "
                    "Figures are published by school, never about one person.",
                },
                what={
                    "fr": "Seulement tes trajets entre chez toi et le lycée : ta commune et un "
                    "carré d’un kilomètre, le quart d’heure, le moyen de transport, la distance "
                    "et la durée. Ni ton nom, ni ton adresse, ni le tracé. Tes autres trajets "
                    "sont jetés aussitôt.",
                    "en": "Only your trips between home and school: your municipality and a "
                    "one-kilometre square, the quarter of an hour, the means of transport, the "
                    "distance and the duration. Not your name, not your address, not the line. "
                    "Your other trips are thrown away at once.",
                },
                how_long={
                    "fr": "Jusqu’à la fin de l’année scolaire, plus douze mois.",
                    "en": "Until the end of the school year, plus twelve months.",
                },
                choice=_CHOICE,
            ),
        ),
    ),
    Purpose(
        "linking",
        {
            "fr": "Relier tes trajets et ta carte de transport",
            "en": "Linking your trips and your travel card",
        },
        (
            Notice(
                "2025-06",
                _FIRST,
                why={
                    "fr": "Rapprocher les trajets de ton application et les validations de ta "
                    "carte, pour savoir si les comptages sont justes. Sans cet accord, les deux "
                    "ne sont jamais rapprochés.",
                    "en": "Bringing together the trips of your app and the taps of your card, to "
                    "find out whether the counts are right. Without this consent the two are "
                    "never brought together.",
                },
                what={
                    "fr": "Tes trajets vers le lycée et tes montées dans les cars et les bus, sous "
                    "un nom de code qui ne sert qu’à cela.",
                    "en": "Your trips to school and your boardings of coaches and buses, under a "
                    "code name used for nothing else.",
                },
                how_long={
                    "fr": "Trois mois, le temps que durent les validations ; le lien est ensuite "
                    "détruit.",
                    "en": "Three months, as long as taps are kept; then the link is destroyed.",
                },
                choice=_CHOICE,
            ),
        ),
    ),
    Purpose(
        "follow-up",
        {
            "fr": "Suivre les changements d’une année à l’autre",
            "en": "Following changes from one year to the next",
        },
        (
            Notice(
                "2025-06",
                _FIRST,
                why={
                    "fr": "Voir, avec d’autres, si les habitudes changent d’une année à l’autre, "
                    "par exemple quand une ligne ouvre. Sans cet accord, chaque année repart de "
                    "zéro.",
                    "en": "Seeing, together with others, whether habits change from one year to "
                    "the next, for example when a line opens. Without this consent every year "
                    "starts afresh.",
                },
                what={
                    "fr": "Les mêmes trajets vers le lycée, reliés d’une année à la suivante sous "
                    "un nom de code qui ne sert qu’à cela.",
                    "en": "The same trips to school, linked from one year to the next under a code "
                    "name used for nothing else.",
                },
                how_long={
                    "fr": "Jusqu’à douze mois après ta dernière année au lycée.",
                    "en": "Until twelve months after your last year at the lycée.",
                },
                choice=_CHOICE,
            ),
        ),
    ),
    Purpose(
        "recontact",
        {"fr": "Te poser d’autres questions", "en": "Asking you further questions"},
        (
            Notice(
                "2025-06",
                _FIRST,
                why={
                    "fr": "T’envoyer, par l’application que tu utilises déjà, au plus trois "
                    "questionnaires par an. Tu réponds si tu veux.",
                    "en": "Sending you, through the app you already use, at most three "
                    "questionnaires a year. You answer if you like.",
                },
                what={
                    "fr": "Seulement que tu acceptes d’être recontacté. Le hub ne connaît ni ton "
                    "adresse ni ton numéro : c’est l’application qui écrit.",
                    "en": "Only that you agree to be contacted again. The hub knows neither your "
                    "address nor your number: the app does the writing.",
                },
                how_long={
                    "fr": "Jusqu’à la fin de l’année scolaire.",
                    "en": "Until the end of the school year.",
                },
                choice=_CHOICE,
            ),
        ),
    ),
)

PURPOSES: Final[Mapping[str, Purpose]] = MappingProxyType({p.id: p for p in _ALL})
"""The closed list, by id. Nothing may be asked, granted or keyed for anything else."""
