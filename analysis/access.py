"""What is done with what came out of a study, and who may."""

from __future__ import annotations

from nstlab.core.access import Action, is_changeable_by

RECOMPUTE = Action(("analysis.view_report", "analysis.change_report"), is_changeable_by)
"""Have a report that failed computed once more."""

EXCLUDE = Action(("analysis.exclude_participant",), is_changeable_by)
"""Leave participants of a study out of its statistics, and count them again."""

MAKE_BUNDLE = Action(("analysis.add_bundle",), is_changeable_by)
"""Make a study's data into a bundle for everybody."""
