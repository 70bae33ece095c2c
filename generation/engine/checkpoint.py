"""A render half done, on disk: what it takes to go on as if nothing had happened.

The noise is drawn before the first evaluation, from the seed alone, so there is no
state of a random generator to keep.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from generation.engine.environment import differences
from generation.engine.errors import EngineError


class CheckpointRefused(EngineError, ValueError):
    """A checkpoint that is broken, or of another request, engine or machine."""


def write_checkpoint(
    path: Path, identity: str, environment: dict[str, Any], values: dict[str, Any]
) -> None:
    """Replace the checkpoint at once: a reader sees the old one or the new one.

    `identity` names the request, `environment` what else its bits depend on.
    """
    part = path.with_name(path.name + ".part")
    with open(part, "wb", opener=_for_the_owner_only) as file:
        torch.save({"identity": identity, "environment": environment, **values}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _for_the_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_checkpoint(
    path: Path | None,
    identity: str,
    environment: dict[str, Any],
    device: torch.device,
) -> dict[str, Any] | None:
    """What was written for the same request, on `device`, or None where nothing was.

    Going on in another environment would paint what neither paints alone.
    Raises `CheckpointRefused`.
    """
    if path is None or not path.exists():
        return None
    try:
        values: dict[str, Any] = torch.load(
            path, map_location=device, weights_only=True
        )
        written_for, written_in = values["identity"], values["environment"]
    except Exception as error:  # unpickling broken data raises anything
        raise CheckpointRefused(
            f"The checkpoint {path.name} cannot be read: remove it to start anew."
        ) from error
    if written_for != identity:
        raise CheckpointRefused(
            f"The checkpoint {path.name} belongs to another request: "
            "remove it to start anew."
        )
    if changed := differences(written_in, environment):
        raise CheckpointRefused(
            f"The checkpoint {path.name} was written in another environment "
            f"({'; '.join(changed)}): remove it to start anew."
        )
    return values
