"""Files and rows belong together, whatever is killed in between."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from generation.models import Render
from generation.pictures.media import check_media, prune
from generation.queueing.batches import retry_renders
from nstlab.core.storage import UNFINISHED, DurableStorage
from tests.conftest import put_on_wall

AT_ONCE = dt.timedelta(0)


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    """A store of this test's own, for what the others left has rows no more."""
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


def test_pictures_are_kept_by_the_durable_storage() -> None:
    assert isinstance(default_storage, DurableStorage)


def test_a_saved_file_is_whole_and_alone(tmp_path: Path) -> None:
    storage = DurableStorage(location=tmp_path)
    name = storage.save("render/a.png", ContentFile(b"x" * 200_000))
    assert name == "render/a.png"
    assert (tmp_path / name).stat().st_size == 200_000
    assert [path.name for path in (tmp_path / "render").iterdir()] == ["a.png"]


def test_a_write_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    class Broken(ContentFile):
        def chunks(self, chunk_size: int | None = None) -> Any:
            yield b"half"
            raise OSError("the writer died")

    storage = DurableStorage(location=tmp_path)
    with pytest.raises(OSError, match="died"):
        storage.save("render/a.png", Broken(b"half of it"))
    assert list((tmp_path / "render").iterdir()) == []


def test_until_it_is_whole_a_file_has_another_name(tmp_path: Path) -> None:
    seen = []

    class Watched(ContentFile):
        def chunks(self, chunk_size: int | None = None) -> Any:
            seen.extend(path.name for path in (tmp_path / "render").iterdir())
            yield b"whole"

    DurableStorage(location=tmp_path).save("render/a.png", Watched(b"whole"))
    assert [name.endswith(UNFINISHED) for name in seen] == [True]


def test_a_study_has_all_its_files(media: Path, study: Any) -> None:
    found = check_media(grace=AT_ONCE)
    assert (found.missing, found.orphans) == ([], [])
    # Two source images with their thumbnails, three renders, three stimuli.
    assert found.files == 2 * 2 + 3 + study.stimuli.count()


def test_files_without_a_row_are_found_and_pruned(
    media: Path, experiment: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    default_storage.save("render/nobody.png", ContentFile(b"x"))
    (media / "render" / f"0{UNFINISHED}").write_bytes(b"a killed writer's")
    with pytest.raises(CommandError, match=r"0 missing, 2 without a row\. --prune"):
        call_command("check_media", "--grace-minutes", "0")
    call_command("check_media", "--prune", "--grace-minutes", "0")
    call_command("check_media", "--grace-minutes", "0")
    assert "4 files, 0 missing, 0 without a row." in capsys.readouterr().out


def test_a_young_file_may_still_get_its_row(media: Path, experiment: Any) -> None:
    name = default_storage.save("render/new.png", ContentFile(b"x"))
    assert check_media().orphans == []
    hours_ago = (media / name).stat().st_mtime - 7200
    os.utime(media / name, (hours_ago, hours_ago))
    assert check_media().orphans == [name]


def test_a_render_that_lost_its_picture_is_failed_and_can_be_painted_again(
    media: Path, experiment: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    render = put_on_wall(experiment)[0]
    (media / render.picture.name).unlink()
    with pytest.raises(CommandError, match="1 missing, 0 without a row"):
        call_command("check_media")
    assert f"generation.Render {render.pk}, picture" in capsys.readouterr().out
    prune(check_media())
    render.refresh_from_db()
    assert (render.status, render.picture.name) == ("failed", "")
    assert "Retry" in render.reason
    assert check_media(grace=AT_ONCE).missing == []
    assert retry_renders(Render.objects.filter(pk=render.pk)) == 1


def test_a_missing_stimulus_is_found_but_not_mended(media: Path, study: Any) -> None:
    stimulus = study.stimuli.first()
    (media / stimulus.picture.name).unlink()
    (missing,) = check_media().missing
    assert str(missing).startswith(f"survey.Stimulus {stimulus.pk}, picture")
    prune(check_media())
    assert len(check_media().missing) == 1
