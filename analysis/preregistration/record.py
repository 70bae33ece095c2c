"""A frozen plan as it leaves the lab and comes back, and what reports say about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import ngettext

from analysis.models import Preregistration
from analysis.preregistration.plan import CORRECTIONS, SCREENS, TESTS, sha256_of
from survey.models import Study


class BrokenRecord(ValueError):
    """A record that cannot be what a lab wrote; the text says why."""


def record(row: Preregistration) -> dict[str, Any]:
    """A frozen plan with its proof, as it leaves the lab; the name of who froze it
    stays, for it is a person's."""
    frozen_at = row.frozen_at.isoformat() if row.frozen_at is not None else ""
    return {
        "plan": row.plan,
        "sha256": row.sha256,
        "frozen_at": frozen_at.replace("+00:00", "Z"),
        "ratings_before": row.ratings_before,
        "report_before": row.report_before,
    }


def restore(study: Study, given: Any) -> Preregistration:
    """A frozen pre-registration from its record. Raises BrokenRecord."""
    if not isinstance(given, dict) or not isinstance(given.get("plan"), dict):
        raise BrokenRecord("there is no plan in the pre-registration")
    plan = given["plan"]
    frozen_at = _moment(given.get("frozen_at"))
    if frozen_at is None:
        raise BrokenRecord("the pre-registration does not say when it was frozen")
    if sha256_of(plan) != given.get("sha256"):
        raise BrokenRecord("the pre-registration is not what its sha256 was made of")
    ratings = given.get("ratings_before")
    if not isinstance(ratings, int) or not 0 <= ratings < 2**31:
        raise BrokenRecord("the pre-registration does not say what was known by then")
    _check_words(plan)
    return Preregistration.objects.create(
        study=study,
        plan=plan,
        sha256=given["sha256"],
        frozen_at=frozen_at,
        ratings_before=ratings,
        report_before=given.get("report_before") is True,
    )


def _moment(text: Any) -> dt.datetime | None:
    """A time with its zone, in UTC; None for anything else."""
    try:
        found = parse_datetime(str(text))
        return found.astimezone(dt.UTC) if found and found.tzinfo else None
    except (ValueError, OverflowError):  # the 31st of February, or the year 0
        return None


def _check_words(plan: Mapping[str, Any]) -> None:
    """Refuse a plan that this program cannot carry out."""
    try:
        exclusion, planned = plan["exclusion"], plan["contrasts"]
        texts = plan.get("hypotheses", ""), exclusion.get("by_hand", "")
        numbers = planned["level"], exclusion["fast_ms"]
        known = (
            all(isinstance(it, str) for it in texts)
            and all(isinstance(it, int | float) for it in numbers)
            and exclusion["screening"] in SCREENS
            and planned["test"] in TESTS
            and planned["correction"] in CORRECTIONS
            and 0.5 <= float(planned["level"]) <= 0.999
            and 0 <= int(exclusion["fast_ms"]) <= 60_000
            and all(
                isinstance(pair[name], str)
                for pair in planned["pairs"]
                for name in ("factor", "a", "b")
            )
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        known = False
    if not known:
        raise BrokenRecord("the pre-registration names what cannot be computed here")


def statement(row: Preregistration) -> dict[str, Any]:
    """The words of a report about a frozen plan, as JSON."""
    planned = row.plan["contrasts"]
    return {
        **{name: value for name, value in record(row).items() if name != "plan"},
        "intact": sha256_of(row.plan) == row.sha256,
        "test": planned["test"],
        "correction": planned["correction"],
        "contrasts": len(planned["pairs"]),
    }


def sentences(said: Mapping[str, Any] | None) -> list[str]:
    """A statement as prose; without one, what that means."""
    if not said:
        return ["Not pre-registered: every comparison is exploratory."]
    when = f"{said['frozen_at'][:10]} {said['frozen_at'][11:16]} UTC"
    n = said["ratings_before"]
    known = "before the first rating"
    if n:
        known = f"after {n} {ngettext('rating', 'ratings', n)} had been collected"
        if said["report_before"]:
            known += " and a report on them had been computed"
    found = [f"Pre-registered on {when} (sha256 {said['sha256']}), {known}."]
    if not said["intact"]:
        found.append(
            "The plan was altered after it was frozen: it does not have this sha256."
        )
    if said["contrasts"]:
        found.append(
            f"Planned contrasts: {said['contrasts']} ({TESTS[said['test']]}, "
            f"correction: {CORRECTIONS[said['correction']]}); every other comparison "
            "is exploratory."
        )
    else:
        found.append("No contrast was planned: every comparison is exploratory.")
    return found
