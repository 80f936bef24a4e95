"""A school's displayed name matched to its UAI, through the directory of lycées.

Names are compared without case, accents, punctuation, what kind of lycée it is and the trades it
trains for: "Lycée Édouard Branly" is the directory's "Lycee Polyvalent Edouard Branly Lycee Des
Metiers …". A name two lycées share that way is matched by its full form or not at all: a wrong
school is worse than none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

TRADES: Final = " lycee des metiers"
KINDS: Final = frozenset(
    {
        "lycee", "general", "generale", "technologique", "technologie", "professionnel",
        "professionnelle", "polyvalent", "agricole", "prive", "privee", "public", "et", "d",
        "enseignement", "lgt", "lg", "lt", "lp", "lpo", "legt", "lycees",
    }
)  # fmt: skip
SHORT: Final = {"st": "saint", "ste": "sainte"}


def spelled(name: str) -> str:
    """A name as it is compared: letters and digits of plain ASCII, single blanks."""
    parted = unicodedata.normalize("NFKD", name.casefold().replace("œ", "oe").replace("æ", "ae"))
    plain = "".join(sign for sign in parted if not unicodedata.combining(sign))
    words = re.sub("[^a-z0-9]+", " ", plain).split()
    return " ".join(SHORT.get(word, word) for word in words)


def essential(name: str) -> str:
    """What is left of a spelled name without kinds in front and trades behind."""
    words = name.partition(TRADES)[0].split() if name.startswith("lycee") else name.split()
    while words and words[0] in KINDS:
        del words[0]
    return " ".join(words)


def directory(lycees: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """What `match` looks in: UAI by full and by essential name, out of pairs of UAI and name."""
    known: dict[str, set[str]] = {}
    for uai, name in lycees:
        full = spelled(name)
        for form in {full, essential(full)} - {""}:
            known.setdefault(form, set()).add(uai)
    return {form: next(iter(uais)) for form, uais in known.items() if len(uais) == 1}


def match(name: str, known: Mapping[str, str]) -> str | None:
    """The UAI of a displayed name, None where no lycée or more than one has it."""
    full = spelled(name)
    return known.get(full) or known.get(essential(full))
