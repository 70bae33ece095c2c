from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

VECTORS = Path(__file__).parent / "vectors"


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The made-up reference vectors, part of the project."""
    return VECTORS


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    """The 72 reference values of vectors_expected.json, by their id."""
    entries = json.loads((VECTORS / "vectors_expected.json").read_text())["vectors"]
    return {entry["id"]: entry["expected"] for entry in entries}


@pytest.fixture
def panel() -> pd.DataFrame:
    """The made-up panel of 12 people and 8 stimuli, 5 ratings missing."""
    return pd.read_csv(VECTORS / "vectors_ratings.csv")


@pytest.fixture(scope="session")
def rating_sets() -> Path:
    """The folder of the public rating sets, which are not ours to copy."""
    beside = Path(__file__).parents[3] / "shared" / "data" / "ratings"
    folder = Path(os.environ.get("NSTLAB_RATINGS_DIR", beside))
    if not (folder / "nflx_public.csv").exists():
        pytest.skip(
            f"No public rating sets in {folder}: set NSTLAB_RATINGS_DIR to their folder"
        )
    return folder
