"""Do what a lab owes its participants by the clock, whoever runs the clock.

`dev` and `demo` call it every hour, elsewhere a timer runs `purge_participants`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.utils import timezone

from survey.models import Study
from survey.participant.joining import forget_keys
from survey.participant.leaving import mark_dropped, purge
from survey.studies import uploads


def purge_due(
    today: dt.date | None = None, studies: Iterable[Study | None] = (None,)
) -> tuple[int, int]:
    """Mark who has dropped out, and delete what is due by today.

    Of `studies` only, where some are named: their sessions and platforms' ids. Returns
    how many (ids, sessions) were deleted.
    """
    mark_dropped()
    forget_keys()
    day = today or timezone.now().date()
    deleted = [purge(day, study=study) for study in studies]
    uploads.purge()
    return sum(ids for ids, _ in deleted), sum(sessions for _, sessions in deleted)
