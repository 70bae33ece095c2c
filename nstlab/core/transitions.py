"""Moving a row from one state to another, by one conditional UPDATE.

Of any number of processes that want to move the same row, the one whose UPDATE finds it
in a state that may be left succeeds; the others are told that they came too late.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Model, Q


def move(row: Model, leaving: Q, **columns: Any) -> bool:
    """Write columns of a row that is, in the database, still as `leaving` says.

    Returns whether it was. If so, the attributes of `row` have the new values as well,
    except those that the database computes, as `F("attempt") + 1`: they keep the old
    value until the row is read again.
    """
    rows = type(row)._default_manager.filter(leaving, pk=row.pk)
    if not rows.update(**columns):
        return False
    for name, value in columns.items():
        if not hasattr(value, "resolve_expression"):
            setattr(row, name, value)
    return True
