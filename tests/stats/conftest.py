from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

VECTORS = Path(__file__).parent / "vectors"


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    """The 72 reference values of vectors_expected.json, by their id."""
    entries = json.loads((VECTORS / "vectors_expected.json").read_text())["vectors"]
    return {entry["id"]: entry["expected"] for entry in entries}


@pytest.fixture
def panel() -> pd.DataFrame:
    """The made-up panel of 12 people and 8 stimuli, 5 ratings missing."""
    return pd.read_csv(VECTORS / "vectors_ratings.csv")
