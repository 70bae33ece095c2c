"""The machine and the software that a picture's bits depend on besides its request."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import scipy
import torch

from generation.engine.settings import ENGINE_VERSION
from nstlab.core.version import software

# What may differ between two machines that still paint the same pixels.
INCIDENTAL = ("python", "nstlab", "commit")


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The environment fields in which two renders differ, as sentences' parts."""
    names = [name for name in before | now if name not in INCIDENTAL]
    return [
        f"{name}: {before.get(name)} then, {now.get(name)} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def environment(device: torch.device) -> dict[str, Any]:
    """What the bits of a render depend on besides the request."""
    on_gpu = device.type == "cuda"
    return {
        **software(),
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "pillow": PIL.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "cuda": torch.version.cuda if on_gpu else None,
        "threads": torch.get_num_threads(),
        "cpu": _cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
