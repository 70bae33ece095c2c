"""Secret and public codes that people can copy from paper."""

from __future__ import annotations

# 31^24: about 119 bits, in six groups that a person can copy from paper.
CODE_LENGTH = 24


def grouped(code: str) -> str:
    """A code as people read it: four letters and digits at a time."""
    return "-".join(code[place : place + 4] for place in range(0, len(code), 4))
