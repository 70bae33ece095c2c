"""Read the links by which recruiting platforms send people."""

from __future__ import annotations

from typing import Any

from survey.models import Recruit

PLATFORMS = {
    Recruit.Platform.PROLIFIC: ("PROLIFIC_PID", "SESSION_ID"),
    Recruit.Platform.MTURK: ("workerId", "assignmentId"),
}
"""The parameters by which a link names a person and their session."""


def recruit_of(sent: Any) -> tuple[str, str, str] | None:
    """(platform, person, session) as a recruiting platform's link carries them.

    None where it names nobody: also where it carries the placeholder that the platform
    should have filled in, for everybody's link carries the same one.
    """
    for platform, (person, session) in PLATFORMS.items():
        named = _sent(sent, person)
        if named and not _is_placeholder(named):
            of_session = _sent(sent, session)
            if _is_placeholder(of_session):
                of_session = ""
            return platform.value, named, of_session
    return None


def link_of(recruit: Recruit) -> dict[str, str]:
    """The parameters of the link that brought somebody, as `recruit_of` reads them."""
    person, session = PLATFORMS[Recruit.Platform(recruit.platform)]
    return {person: recruit.person, session: recruit.session}


def sent_by_platform(sent: Any) -> bool:
    """Tell whether a link is a recruiting platform's, filled in or not."""
    return any(_sent(sent, person) for person, _session in PLATFORMS.values())


def link_is_unfilled(sent: Any) -> bool:
    """Tell whether a platform's link names nobody: its placeholder is still there."""
    return recruit_of(sent) is None and sent_by_platform(sent)


# Platforms' ids are letters and digits; these surround the names of what is to come.
PLACEHOLDER_SIGNS = set("{}<>[]$%")


def _is_placeholder(value: str) -> bool:
    """Tell `{{%PROLIFIC_PID%}}`, `${workerId}`, `<PROLIFIC_PID>` or the name alone."""
    bare = "".join(filter(str.isalnum, value)).lower()
    names = {name.replace("_", "").lower() for pair in PLATFORMS.values()
             for name in pair}  # fmt: skip
    return bool(PLACEHOLDER_SIGNS & set(value)) or bare in names


def _sent(sent: Any, name: str) -> str:
    return str(sent.get(name, ""))[:100].strip()
