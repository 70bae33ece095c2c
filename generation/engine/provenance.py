"""What made a picture, kept with it: on what machine, from what, by what settings."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from generation.engine.settings import ENGINE_VERSION


def environment(device: torch.device) -> dict[str, Any]:
    """What the bits of a render depend on besides the request."""
    on_gpu = device.type == "cuda"
    return {
        "engine": ENGINE_VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
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
