"""What the database may say, and what it means here. No message carries a value."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc

from hub.errors import Conflict, HubError, Unavailable
from hub.storage.books import postgres

FAULTS: Final[dict[str, tuple[str, str, str]]] = {
    "SQLITE_BUSY": (
        "books-busy",
        "Les registres sont occupés par une autre écriture ; réessayez.",
        "The books are busy with another write; try again.",
    ),
    "SQLITE_FULL": (
        "books-full",
        "Le disque des registres est plein ; l’opérateur doit libérer de la place.",
        "The disk of the books is full; the operator must make room.",
    ),
    "SQLITE_READONLY": (
        "books-readonly",
        "Les registres sont en lecture seule ; l’opérateur doit corriger les droits du fichier.",
        "The books are read-only; the operator must correct the file's permissions.",
    ),
    "SQLITE_CORRUPT": (
        "books-damaged",
        "Le fichier des registres est endommagé ; l’opérateur doit restaurer une sauvegarde.",
        "The file of the books is damaged; the operator must restore a back-up.",
    ),
    "SQLITE_IOERR": (
        "books-io",
        "Le disque des registres ne répond pas correctement ; l’opérateur doit le vérifier.",
        "The disk of the books does not answer properly; the operator must check it.",
    ),
    "SQLITE_CANTOPEN": (
        "books-unreachable",
        "Les registres ne peuvent être ouverts ; l’opérateur doit vérifier leur adresse.",
        "The books cannot be opened; the operator must check their address.",
    ),
    "credentials": (
        "books-credentials",
        "La base refuse ce rôle ou son mot de passe ; l’opérateur doit corriger HUB_DATABASE_URL.",
        "The database refuses this role or its password; the operator must mend HUB_DATABASE_URL.",
    ),
    "missing": (
        "books-missing",
        "La base ou le rôle de HUB_DATABASE_URL n’existe pas ; l’opérateur doit le créer.",
        "The database or role of HUB_DATABASE_URL does not exist; the operator must create it.",
    ),
    "forbidden": (
        "books-forbidden",
        "Ce rôle n’a pas le droit nécessaire dans la base ; l’opérateur doit le lui donner.",
        "This role lacks a privilege in the database; the operator must grant it.",
    ),
}
"""Primary result code of SQLite, or what PostgreSQL means, to (code, French, English)."""

SAME_AS: Final[dict[str, str]] = {
    "SQLITE_LOCKED": "SQLITE_BUSY",
    "SQLITE_NOTADB": "SQLITE_CORRUPT",
    # A table of ours that is not there: someone else's file, or half of a restored one.
    "SQLITE_ERROR": "SQLITE_CORRUPT",
    "SQLITE_PERM": "SQLITE_READONLY",
    "busy": "SQLITE_BUSY",
    "full": "SQLITE_FULL",
    "readonly": "SQLITE_READONLY",
    "damaged": "SQLITE_CORRUPT",
    "io": "SQLITE_IOERR",
    "unreachable": "SQLITE_CANTOPEN",
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever the database raises into the hub's families.

    Raises `Conflict` where a record is there already or refers to nothing, `Unavailable` where
    the database does not answer as it should, `HubError` where the statement itself is at fault.
    """
    try:
        yield
    except exc.IntegrityError as error:
        raise _conflict(error) from error
    except exc.TimeoutError as error:
        raise _unavailable("SQLITE_BUSY") from error
    except (exc.OperationalError, exc.DatabaseError) as error:
        ours = isinstance(error, (exc.ProgrammingError, exc.DataError, exc.NotSupportedError))
        if ours and postgres.meaning(error.orig) is None:
            raise _fault() from error
        raise _unavailable(_result(error.orig)) from error
    except sqlite3.Error as error:
        raise _unavailable(_result(error)) from error
    except exc.SQLAlchemyError as error:
        raise _fault() from error


def _result(error: BaseException | None) -> str:
    """Primary result code; extended codes (SQLITE_IOERR_WRITE…) say more than anyone needs."""
    meant = postgres.meaning(error)
    if meant is not None:
        return SAME_AS.get(meant, meant)
    name: str = getattr(error, "sqlite_errorname", "SQLITE_CANTOPEN")
    primary = "_".join(name.split("_")[:2])
    return SAME_AS.get(primary, primary)


def _unavailable(result: str) -> Unavailable:
    code, fr, en = FAULTS.get(result, FAULTS["SQLITE_IOERR"])
    return Unavailable(code, fr=fr, en=en, who="operator")


def _conflict(error: exc.IntegrityError) -> HubError:
    # SQLite names the kind of constraint, PostgreSQL gives a SQLSTATE.
    name = getattr(error.orig, "sqlite_errorname", "") or getattr(error.orig, "sqlstate", "")
    if name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505"}:
        return Conflict(
            "already-recorded",
            fr="Un enregistrement de ce nom existe déjà dans les registres.",
            en="The books already hold a record of this name.",
            who="operator",
        )
    if name in {"SQLITE_CONSTRAINT_FOREIGNKEY", "23503"}:
        return Conflict(
            "reference-missing",
            fr="L’enregistrement renvoie à une organisation ou un objet absent des registres.",
            en="The record refers to an organisation or thing the books do not hold.",
            who="operator",
        )
    return _fault()


def _fault() -> HubError:
    return HubError(
        "books-fault",
        fr="Les registres ont refusé une instruction du hub ; rien n’a été écrit.",
        en="The books refused a statement of the hub; nothing was written.",
        who="developer",
    )
