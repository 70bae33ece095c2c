"""What is done with studies besides what is done with any row."""

from __future__ import annotations

from nstlab.core.access import Action, is_changeable_by

OPEN = Action(("survey.open_study",), is_changeable_by)
"""Let people take part, or no longer."""

EXPORT_PLATFORM_IDS = Action(("survey.export_recruit",), is_changeable_by)
"""Take away whom a recruiting platform sent, by its own ids."""
