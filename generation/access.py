"""What is done with experiments and their renders besides what is done with any row."""

from __future__ import annotations

from nstlab.core.access import Action, is_anybodys, is_changeable_by

QUEUE = Action(
    ("generation.queue_experiment",),
    is_changeable_by,
    with_everybodys="generation.queue_all_experiments",
)
"""Queue, cancel and retry renders: with those of experiments that somebody may change,
or with everybody's for whoever keeps the lab's renders going."""

FETCH = Action(("generation.fetch_weights",), is_anybodys)
"""Have the trained network fetched to a render host: whoever keeps the lab going."""
