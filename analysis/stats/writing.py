"""CSV and JSON files as the lab writes them, every cell through one guard."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from nstlab.core.csv_cells import csv_cell


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """UTF-8, comma, header; empty = NA, full precision, true/false, no formulas."""
    with path.open("w", encoding="utf-8", newline="") as file:
        _write(frame, file)


def csv_text(frame: pd.DataFrame) -> str:
    """The text that `write_csv` writes."""
    file = io.StringIO()
    _write(frame, file)
    return file.getvalue()


def _write(frame: pd.DataFrame, file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(csv_cell, frame.columns))
    writer.writerows(zip(*(_cells(frame[c]) for c in frame.columns), strict=True))


def _cells(column: pd.Series) -> list[str]:
    """The cells of a column; equal values, of which there are many, only once."""
    codes, values = pd.factorize(column)
    cells = map(csv_cell, values.tolist())
    return np.array([*cells, ""], object)[codes].tolist()  # code -1 is missing


def write_json(value: Any, path: Path) -> None:
    """Strict JSON: what is not finite becomes null."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """The value as JSON knows it: numpy scalars unwrapped, NaN and ∞ as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray | pd.Index):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
