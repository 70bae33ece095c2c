"""Failures of the machine, not of the program, each with a sentence on what to do.

A full disk, a folder that may not be written, a database that is locked or away:
a command ends with the sentence, a page shows it, what runs a whole lab goes on.
"""

from __future__ import annotations

import errno
import getpass
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error as DatabaseTrouble
from django.db import close_old_connections

log = logging.getLogger(__name__)

FULL = "There is no room left on the disk. Free some and try again; nothing was lost."
LOCKED = (
    "The database was locked for too long: another process is writing and does not "
    "end. Nothing was lost; try again, and look for that process if it stays so."
)
UNWRITABLE = (
    "The database cannot be opened for writing. Its folder must exist, be on a file "
    "system that is not read-only, and belong to the user who runs the lab"
)
# SQLite and PostgreSQL have no codes in common; these parts of their words stay.
SAID_BY_DATABASES = (
    ("database or disk is full", FULL),
    ("no space left on device", FULL),
    ("database is locked", LOCKED),
    ("table is locked", LOCKED),
    ("lock timeout", LOCKED),
    ("readonly database", UNWRITABLE),
    ("read-only transaction", UNWRITABLE),
    ("unable to open database file", UNWRITABLE),
)
# Tables that are missing and the like are the program's business, or a command's.
AWAY = (
    "connection", "server closed", "server terminated", "shutting down", "starting up",
    "disk i/o error", "could not translate host", "could not connect",
)  # fmt: skip


def sentence_of(error: BaseException | None) -> str:
    """What to tell an operator; empty if it is no failure of the machine."""
    while error is not None:
        if isinstance(error, DatabaseTrouble):
            sentence = _of_database(str(error))
        else:
            sentence = _of_file(error) if isinstance(error, OSError) else ""
        if sentence:
            return sentence
        error = error.__cause__ or error.__context__
    return ""


def _of_database(said: str) -> str:
    lower = said.lower()
    for part, sentence in SAID_BY_DATABASES:
        if part in lower:
            return sentence + (f" ({_user()})." if sentence is UNWRITABLE else "")
    if any(part in lower for part in AWAY):
        return f"The database does not answer: {said.strip().splitlines()[0]}"
    return ""


def _of_file(error: OSError) -> str:
    named = error.filename2 or error.filename or "A file"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return FULL
        case errno.EROFS:
            return f"{named} cannot be written: its file system is read-only."
        case errno.EACCES | errno.EPERM:
            return f"{named} may not be used by the user {_user()}: change its owner."
    return ""


def _user() -> str:
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "who runs the lab"


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Around a chore that is done again later: a failure of the machine is logged."""
    try:
        yield
    except (DatabaseTrouble, OSError) as error:
        if not (sentence := sentence_of(error)):
            raise
        log.warning("%s was put off. %s", what, sentence)
        close_old_connections()  # one that broke would refuse for ever
