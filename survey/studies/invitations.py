"""Make one-time links into a study."""

from __future__ import annotations

from survey.codes import CODE_LENGTH, grouped, readable_code, token_hash
from survey.models import Invitation, Study


def invite(study: Study, number: int) -> list[str]:
    """Make `number` new one-time codes. Only their hashes are kept."""
    codes = [readable_code(CODE_LENGTH) for _number in range(number)]
    Invitation.objects.bulk_create(
        [Invitation(study=study, token_sha256=token_hash(code)) for code in codes],
        batch_size=1000,
    )
    return [grouped(code) for code in codes]
