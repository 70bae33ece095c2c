"""The state of a study's data at one moment: its name, and one reading of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Count, Max, Q

from analysis.preregistration import freezing
from survey.models import Participant, Study, Trial

# Counts what a report consists of: an older one is not shown for a newer program.
FORMAT = 7


def fingerprint(study: Study) -> str:
    """Names the state of a study's data, cheaply: it changes when any row counts anew.

    A trial is answered once, with all its ratings, and answers go only with their
    person: by a withdrawal, or with the row. Who comes anew has a greater key.
    """
    answered = Trial.objects.filter(
        participant__study=study, answered_at__isnull=False
    ).count()
    people = Participant.objects.filter(study=study).aggregate(
        n=Count("pk"),
        last=Max("pk"),
        withdrawn=Count("pk", filter=Q(status=Participant.Status.WITHDRAWN)),
    )
    excluded = list(
        Participant.objects.filter(study=study, excluded=True)
        .order_by("pk")
        .values_list("pk", "exclusion_reason")
    )
    plan = freezing.frozen(study)
    fixed = plan.sha256 if plan is not None else ""
    state = [FORMAT, study.version, study.title, answered, people, excluded, fixed]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


# What begins a transaction that sees one state of the data. SQLite's other
# transactions here take the lock for writing and would keep answers out meanwhile.
SNAPSHOT = {
    "sqlite": "BEGIN",
    "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
}


@contextmanager
def one_reading() -> Iterator[None]:
    """Every query inside sees the data as the first one finds them; nothing is written.

    Inside another transaction it is that one which decides what is seen.
    """
    if not transaction.get_autocommit():
        yield
        return
    transaction.set_autocommit(False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(SNAPSHOT[connection.vendor])
        yield
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
