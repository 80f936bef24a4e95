"""Error families: what went wrong, who must act, and how each edge says it.

Foreign exceptions are translated into one of these at the boundary that meets them. The HTTP edge
renders them as RFC 9457 problem documents, the command line as an exit code and one line. No
message carries a person's data: positions and names of parts, not contents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

Who = Literal["partner", "person", "operator", "steward", "developer"]
Language = Literal["fr", "en"]


class HubError(Exception):
    """Base of every error the hub raises on purpose.

    `code` names the problem type (`https://…/problems/<code>`), `words` says it in both
    languages, `who` must act, `where` is a position. `facts` are extension members, never content.
    """

    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    title: ClassVar[Mapping[str, str]] = {"fr": "Défaut du hub", "en": "A fault of the hub"}

    def __init__(
        self,
        code: str,
        *,
        fr: str,
        en: str,
        who: Who,
        where: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(en)
        self.code = code
        self.words: Mapping[str, str] = {"fr": fr, "en": en}
        self.who: Who = who
        self.where = where
        self.facts: Mapping[str, Any] = dict(facts or {})

    def problem(self, language: Language, instance: str = "") -> dict[str, Any]:
        """The RFC 9457 problem document, in one language."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title[language],
            "status": self.status,
            "detail": self.words[language],
            "instance": instance,
            "code": self.code,
            "who": self.who,
        }
        if self.where:
            document["where"] = self.where
        return document | {k: v for k, v in self.facts.items() if k not in document}


class Rejected(HubError):
    """The input is wrong and will be refused again unchanged."""

    status = 422
    exit_code = 3
    title: ClassVar[Mapping[str, str]] = {"fr": "Entrée refusée", "en": "Input rejected"}


class NotFound(Rejected):
    """Nothing here by that name, or nothing the caller may know of."""

    status = 404
    title: ClassVar[Mapping[str, str]] = {"fr": "Introuvable", "en": "Not found"}


class Gone(Rejected):
    """What was here, and the caller may know of, is over."""

    status = 410
    title: ClassVar[Mapping[str, str]] = {"fr": "Terminé", "en": "Over"}


class TooLarge(Rejected):
    """The body is larger than this door accepts."""

    status = 413
    title: ClassVar[Mapping[str, str]] = {"fr": "Trop volumineux", "en": "Too large"}


class WrongType(Rejected):
    """The body is not what its declared type says."""

    status = 415
    title: ClassVar[Mapping[str, str]] = {"fr": "Type refusé", "en": "Type refused"}


class Denied(HubError):
    """Policy or consent says no."""

    status = 403
    exit_code = 4
    title: ClassVar[Mapping[str, str]] = {"fr": "Accès refusé", "en": "Access denied"}


class Unauthenticated(Denied):
    """Who is asking is not established."""

    status = 401
    title: ClassVar[Mapping[str, str]] = {
        "fr": "Authentification requise",
        "en": "Authentication required",
    }


class Conflict(HubError):
    """The request contradicts what is already recorded."""

    status = 409
    exit_code = 5
    title: ClassVar[Mapping[str, str]] = {"fr": "Conflit", "en": "Conflict"}


class Unavailable(HubError):
    """A part does not answer; nothing was done, and the same request may pass later."""

    status = 503
    exit_code = 6
    title: ClassVar[Mapping[str, str]] = {"fr": "Service indisponible", "en": "Service unavailable"}


class Busy(Unavailable):
    """More than may wait is waiting; the same request passes after `facts["retry_after"]` s."""

    status = 429
    title: ClassVar[Mapping[str, str]] = {"fr": "Trop de dépôts", "en": "Too many pushes"}


def bad_setting(code: str, name: str, form: str) -> Rejected:
    """A setting that is missing or cannot be used; `form` shows what it must look like."""
    return Rejected(
        code,
        fr=f"{name} manque ou n’est pas utilisable ({form}).",
        en=f"{name} is missing or not usable ({form}).",
        who="operator",
        where=name,
    )


def fault(error: BaseException) -> str:
    """Name an unexpected exception by type and place only: its message may hold a row's content."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    where = trace.tb_frame.f_globals.get("__name__", "?")
    return f"{type(error).__name__} at {where}:{trace.tb_lineno}"
