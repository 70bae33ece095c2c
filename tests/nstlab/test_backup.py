"""A lab is saved, and another one becomes it: the same ratings, the same pictures.

On whichever database the run has; the store is a disk here, and S3 in test_s3.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from nstlab import backup as backup_module
from nstlab.backup import BackupRefused, restore
from survey.client import InProcess, take_part
from survey.models import Participant, Study
from survey.participant.leaving import withdraw
from tests.elsewhere import Elsewhere

pytestmark = pytest.mark.django_db(transaction=True)

PRINT_RATINGS = """
from analysis.columns import *
from analysis.exports import *
from survey.models import Study
print("".join(csv_lines(RATINGS_LONG, ratings_rows(Study.objects.get()))), end="")
"""
TAKE_PART = """
from survey.models import Study
from survey.client import InProcess, take_part
page = Study.objects.get().get_absolute_url()
print(take_part(InProcess(), page, choose=lambda code: 1))
"""


def rate(study: Study, ratings: list[int]) -> Participant:
    left = iter(ratings)
    take_part(
        InProcess(),
        study.get_absolute_url(),
        choose=lambda code: next(left),
        most_trials=len(ratings),
    )
    return Participant.objects.latest("pk")


def ratings_csv(study: Study) -> str:
    return "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))


def pictures(folder: Path) -> dict[str, str]:
    """The sha256 of every file in a folder, by its name there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


@pytest.fixture
def rated(media: Path, study: Study) -> Study:
    """A study with every kind of participant."""
    rate(study, [5, 4, 3])
    rate(study, [2])
    withdraw(rate(study, [1, 1]))
    excluded = rate(study, [1, 5, 1])
    excluded.excluded, excluded.exclusion_reason = True, "asked to, Žofie"
    excluded.save()
    return study


@pytest.fixture
def saved(rated: Study, tmp_path: Path) -> Path:
    call_command("backup", tmp_path / "backup", verbosity=0)
    return tmp_path / "backup"


def test_another_lab_becomes_the_same(
    rated: Study, media: Path, saved: Path, elsewhere: Elsewhere
) -> None:
    before, shown = ratings_csv(rated), pictures(media)
    assert before.count("\n") == 1 + 3 * 3 and "Žofie" in before
    # What happens after the backup is not in it.
    rate(rated, [3, 3, 3])
    default_storage.delete(rated.stimuli.first().picture.name)

    said = elsewhere.says("restore", str(saved))
    assert re.match(r"Restored: database .* MB, 10 pictures of .* MB", said)
    assert elsewhere.says("shell", "-v", "0", "-c", PRINT_RATINGS) == before
    assert pictures(elsewhere.var / "media") == shown
    assert "10 files, 0 missing, 0 without" in elsewhere.says("check_media")
    # Keys go on where they were.
    elsewhere.says("collectstatic", "--noinput", "-v", "0")
    assert elsewhere.says("shell", "-v", "0", "-c", TAKE_PART).strip() == "3"
    assert "No planned migration" in elsewhere.says("migrate", "--plan")


def test_a_lab_in_use_is_never_overwritten(
    saved: Path, media: Path, elsewhere: Elsewhere
) -> None:
    shown = pictures(media)
    with pytest.raises(BackupRefused, match=r"The database .* is not empty"):
        restore(saved)
    assert pictures(media) == shown
    elsewhere.var.joinpath("media").mkdir(parents=True)
    elsewhere.var.joinpath("media/mine.png").write_bytes(b"mine")
    done = elsewhere.run("restore", str(saved))
    assert "store of pictures is not empty (mine.png)" in done.stderr


def test_a_restore_that_broke_off_can_be_run_again(
    saved: Path, elsewhere: Elsewhere
) -> None:
    done_first = elsewhere.var / "media" / "source"
    done_first.mkdir(parents=True)
    for path in (saved / "media/source").iterdir():
        (done_first / path.name).write_bytes(b"half of it")
    elsewhere.says("restore", str(saved))
    assert pictures(elsewhere.var / "media") == pictures(saved / "media")


def damage(saved: Path) -> str:
    picture = next((saved / "media/stimulus").iterdir())
    data = bytearray(picture.read_bytes())
    data[-1] ^= 1
    picture.write_bytes(data)
    return f"damaged: {picture}"


def lose_a_picture(saved: Path) -> str:
    picture = next((saved / "media/stimulus").iterdir())
    picture.unlink()
    return f"incomplete: {picture} is missing"


def break_off(saved: Path) -> str:
    (saved / "manifest.json").unlink()
    return "no backup, or one that broke off"


def rewrite(saved: Path, **changes: Any) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def come_from_the_future(saved: Path) -> str:
    rewrite(saved, migrations=["survey.9999_mind_reading"])
    return "made by a newer lab (migration survey.9999_mind_reading)"


def be_of_another_database(saved: Path) -> str:
    rewrite(saved, database="oracle")
    return "The backup is of oracle"


def test_what_cannot_be_restored_changes_nothing(
    saved: Path, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    for spoil in (
        damage, lose_a_picture, break_off, come_from_the_future, be_of_another_database
    ):  # fmt: skip
        spoilt = tmp_path / spoil.__name__
        shutil.copytree(saved, spoilt)
        sentence = spoil(spoilt)
        done = elsewhere.run("restore", str(spoilt))
        assert done.returncode != 0
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert pictures(elsewhere.var).keys() <= {"secret_key"}
    assert "[ ] 0001_initial" in elsewhere.says("showmigrations", "survey")


def test_a_folder_in_use_is_refused(rated: Study, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup/notes.txt").write_text("mine")
    with pytest.raises(CommandError, match="not empty; name a new folder"):
        call_command("backup", tmp_path / "backup")


def test_a_lost_picture_is_said_and_the_rest_is_saved(
    rated: Study, media: Path, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    lost = rated.stimuli.first().picture.name
    default_storage.delete(lost)
    with pytest.raises(CommandError, match=rf"has lost 1 files .* {lost}"):
        call_command("backup", tmp_path / "backup", verbosity=0)
    elsewhere.says("restore", str(tmp_path / "backup"))
    assert elsewhere.says("shell", "-v", "0", "-c", PRINT_RATINGS) == ratings_csv(rated)
    assert pictures(elsewhere.var / "media") == pictures(media)


def test_what_goes_while_it_copies_is_no_loss(
    rated: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stimulus = rated.stimuli.first()
    dump = backup_module._dump

    def dump_and_lose(path: Path) -> list[str]:
        names = dump(path)
        stimulus.picture.delete()  # its row too names it no longer
        return names

    monkeypatch.setattr(backup_module, "_dump", dump_and_lose)
    assert backup_module.backup(tmp_path / "backup").lost == []


def test_nobody_else_on_the_machine_can_read_it(saved: Path) -> None:
    assert saved.stat().st_mode & 0o077 == 0
