"""Memory that runs out: how that is recognised, and what can be given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc

import torch

# Words of allocators that raise no error of their own kind; the last is what oneDNN
# says of a convolution for whose copies there is no room.
_WORDS = "can't allocate memory", "ALLOC_FAILED", "could not create a primitive"


def ran_out(error: Exception) -> bool:
    """Whether memory ran out, which some allocators say in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(it in str(error) for it in _WORDS)


def give_back(device: torch.device) -> None:
    """Collect what nobody holds, and give the system what allocators keep of it:
    hundreds of megabytes."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    else:
        with contextlib.suppress(AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
