"""What can be wrong with a consent, in a closed vocabulary that the hub translates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class ConsentError(Exception):
    """What was presented cannot stand as consent. `code` is a key of `PROBLEMS`; no content."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.fr, self.en = PROBLEMS[code]
        super().__init__(self.en)


PROBLEMS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "unknown-purpose": (
            "Cette finalité n’existe pas ; la liste est sur la page des finalités.",
            "There is no such purpose; the purposes page lists them.",
        ),
        "notice-never-published": (
            "Cette version de la notice n’a jamais été publiée, ou pas encore à la date de "
            "l’accord.",
            "This version of the notice was never published, or not yet when consent was given.",
        ),
        "unknown-population": (
            "La population doit être élève, post-bac ou personnel.",
            "The population must be pupil, post-bac or staff.",
        ),
        "time-without-zone": (
            "Une date d’accord doit porter son fuseau horaire.",
            "A time of consent must carry its time zone.",
        ),
        "given-in-the-future": (
            "L’accord est daté dans le futur : une des horloges est fausse.",
            "The consent is dated in the future: one of the clocks is wrong.",
        ),
        "already-ended": (
            "Cet accord est déjà terminé : il ne peut pas prendre effet.",
            "This consent has already ended: it cannot take effect.",
        ),
        "ends-before-it-starts": (
            "La fin de l’accord précède son début.",
            "The consent ends before it starts.",
        ),
        "answer-unknown": (
            "La réponse doit être « given » ou « refused ».",
            "The answer must be “given” or “refused”.",
        ),
        "age-unknown": (
            "Le mois de naissance est nécessaire : avant 15 ans, il faut aussi l’accord d’un "
            "parent.",
            "The month of birth is needed: under 15, a parent has to agree as well.",
        ),
        "month-unreadable": (
            "Le mois doit s’écrire AAAA-MM, par exemple 2011-09.",
            "A month is written YYYY-MM, for example 2011-09.",
        ),
        "parental-half-missing": (
            "Avant 15 ans, il faut l’accord de la personne et celui d’un parent.",
            "Under 15, both the person and a parent have to agree.",
        ),
        "parental-half-not-asked": (
            "À partir de 15 ans la personne décide seule ; l’accord d’un parent ne peut être reçu.",
            "From 15 the person decides alone; a parent's consent cannot be taken.",
        ),
        "parent-not-identified": (
            "Il faut dire comment le parent a été identifié.",
            "How the parent was identified has to be said.",
        ),
        "impossible-step": (
            "Cette étape n’est pas possible dans l’état actuel de l’accord.",
            "This step is not possible in the present state of the consent.",
        ),
        "code-unreadable": (
            "Il y a une faute de frappe dans ce code : chaque lettre et chaque chiffre compte.",
            "This code is mistyped: check each letter and digit.",
        ),
        "reference-unreadable": (
            "La référence de la personne est vide ou n’est pas un texte Unicode.",
            "The person's reference is empty or is not Unicode text.",
        ),
    }
)
"""Closed vocabulary: code to what is said to people, in French and in English."""
