"""How a batch is painted: progress, previews, checkpoints, waves that do not fit."""

from __future__ import annotations

import datetime as dt
import io
import resource
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from PIL import Image
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty

from generation.engine.painter import Painter
from generation.models import Batch, Render
from generation.pictures.media import check_media, prune
from generation.queueing import leases, tasks
from generation.queueing.batches import queue_experiment
from generation.queueing.reap import abandon, reap
from generation.queueing.tasks import render_batch

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = dt.timedelta(0)


@pytest.fixture
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.NSTLAB_CHECKPOINTS = tmp_path / "checkpoints"
    settings.NSTLAB_BATCH_SECONDS = 10**6  # whatever is queued is one batch
    return tmp_path / "media"


def queued(experiment: Any) -> Batch:
    queue_experiment(experiment)
    return Batch.objects.filter(experiment=experiment).get()


@pytest.fixture
def meanwhile() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Tries something in a thread of its own, time and again until it has worked."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def start(attempt: Callable[[], bool]) -> None:
        def run() -> None:
            try:
                while not over.wait(0.05) and not attempt():
                    pass
            except BaseException:
                Render.objects.all().cancel()  # or the batch would never end
                raise
            finally:
                connection.close()

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    over.set()
    for thread in threads:
        thread.join()


def together(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the engine evaluate `count` pictures at once, as it does on a GPU."""

    def painter(**options: Any) -> Painter:
        made = Painter(**options)
        made.together = count
        return made

    monkeypatch.setattr(tasks, "Painter", painter)


# Progress and previews --------------------------------------------------------


def test_a_running_render_shows_how_far_it_is_and_what_it_looks_like(
    media: Path,
    make_experiment: Callable[..., Any],
    logged_in: Any,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Any,
) -> None:
    monkeypatch.setattr(leases, "PREVIEW_SECONDS", 0.2)
    experiment = make_experiment(evaluations=100_000, alpha_beta=[0.01])
    batch = queued(experiment)
    seen: list[tuple[str, dict[str, Any], set[Path]]] = []
    pictures: list[Image.Image] = []

    def look() -> bool:
        row = experiment.renders.get()
        if not row.preview:
            return False
        if not seen or seen[-1][0] != row.preview.name:
            url = f"/render/{row.pk}/{row.progress['evaluations']}.jpg"
            page = logged_in.get(f"/admin/generation/experiment/{experiment.pk}/sheet/")
            links = [it for it in page.content.decode().split('"') if "/render/" in it]
            if not any(it.endswith(url) for it in links):
                return False  # it has gone on meanwhile
            answer = logged_in.get(f"/pictures{url}")
            if answer.status_code == 404:
                return False  # so has the file
            pictures.append(Image.open(io.BytesIO(b"".join(answer.streaming_content))))
            files = {it for it in (media / "preview").rglob("*") if it.is_file()}
            seen.append((row.preview.name, row.progress, files))
        return len(seen) == 3 and bool(row.cancel())

    meanwhile(look)
    render_batch(batch.pk, 1)
    assert len(seen) == 3
    names = [name for name, _, _ in seen]
    assert names[0] != names[1] and names[0] == names[2]
    assert all(len(files) <= 2 for _, _, files in seen), "old ones are deleted"
    done = [progress["evaluations"] for _, progress, _ in seen]
    assert done == sorted(done) and seen[-1][1]["budget"] == 100_000
    assert {"total", "content", "style", "tv"} <= set(seen[-1][1])
    assert all((it.format, it.size) == ("JPEG", (32, 32)) for it in pictures)
    row = experiment.renders.get()
    assert (row.status, row.preview.name, row.token) == ("cancelled", "", None)
    found = check_media(grace=AT_ONCE)
    assert (found.missing, found.orphans) == ([], [])


def test_the_desk_alone_sees_previews(client: Any, experiment: Any) -> None:
    queue_experiment(experiment)
    response = client.get(f"/pictures/render/{experiment.renders.first().pk}/1.jpg")
    assert response.status_code in {302, 404}


def test_a_killed_workers_files_are_taken_away(
    media: Path, make_experiment: Callable[..., Any], queues: None
) -> None:
    """A worker that died between writing a file and saying so in the row."""
    experiment = make_experiment(alpha_beta=[0.01])
    batch, token = queued(experiment), uuid.uuid4()
    render = experiment.renders.get()
    assert batch.claim(attempt=1, token=token)
    assert render.begin(token=token, worker="dies")
    shown = render.save_preview(token, b"jpeg")
    assert render.show_progress(token=token, progress={}, preview=shown)
    render.save_preview(token, b"not told")
    default_storage.save(f"render/{token.hex}-{render.pk}.png", io.BytesIO(b"png"))
    half = media / "preview" / "b" / f"{token.hex}-{render.pk}.jpg.part"
    half.write_bytes(b"half of")
    assert len(check_media(grace=AT_ONCE).orphans) == 3
    batch.refresh_from_db()
    assert abandon(batch, "It died.")
    reap()
    assert check_media(grace=AT_ONCE).orphans == []
    render.refresh_from_db()
    assert (render.status, render.token, render.preview.name) == ("queued", None, "")
    render_batch(batch.pk, 2)
    render.refresh_from_db()
    assert render.status == "done"


def test_a_preview_whose_file_is_gone_is_mended_by_prune(
    media: Path, make_experiment: Callable[..., Any]
) -> None:
    experiment = make_experiment(alpha_beta=[0.01])
    queue_experiment(experiment)
    render, token = experiment.renders.get(), uuid.uuid4()
    render.begin(token=token, worker="a")
    name = render.save_preview(token, b"jpeg")
    render.show_progress(token=token, progress={}, preview=name)
    (media / name).unlink()
    prune(check_media())
    assert check_media().missing == []
    assert experiment.renders.get().status == "running"


# Checkpoints ------------------------------------------------------------------


def painted(experiment: Any) -> Render:
    batch = experiment.batches.get()
    assert render_batch(batch.pk, batch.attempt) == "1 painted"
    row: Render = experiment.renders.get()
    return row


def test_a_render_goes_on_where_its_worker_died_with_the_same_pixels(
    media: Path,
    make_experiment: Callable[..., Any],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = make_experiment(evaluations=60, alpha_beta=[0.01], start="noise")
    whole = make_experiment(
        name="Whole", evaluations=60, alpha_beta=[0.01], start="noise"
    )
    queue_experiment(experiment)
    queue_experiment(whole)
    settings.NSTLAB_CHECKPOINT_SECONDS = 0
    died_after: list[int] = []

    class Dies(leases.Lease):
        """A worker that is gone after 40 evaluations, with its row still running."""

        def on_progress(self, render: Render, progress: Any) -> None:
            super().on_progress(render, progress)
            if progress.evaluations == 40:
                died_after.append(40)
                raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(tasks, "Lease", Dies)
        with pytest.raises(SystemExit):
            render_batch(experiment.batches.get().pk, 1)
    (kept,) = settings.NSTLAB_CHECKPOINTS.iterdir()
    assert abandon(experiment.batches.get(), "It died.")
    evaluated: list[int] = []

    class Counts(leases.Lease):
        def on_progress(self, render: Render, progress: Any) -> None:
            evaluated.append(progress.evaluations)
            super().on_progress(render, progress)

    monkeypatch.setattr(tasks, "Lease", Counts)
    resumed = painted(experiment)
    assert died_after and evaluated[0] > 1, "it did not begin anew"
    assert evaluated[-1] == 60
    assert (resumed.attempt, len(resumed.curve)) == (2, 60)
    assert not kept.exists() and not any(settings.NSTLAB_CHECKPOINTS.iterdir())
    assert painted(whole).pixel_sha256 == resumed.pixel_sha256


def test_a_broken_checkpoint_costs_the_work_and_not_the_render(
    media: Path, make_experiment: Callable[..., Any], settings: Any
) -> None:
    experiment = make_experiment(alpha_beta=[0.01])
    queue_experiment(experiment)
    folder = settings.NSTLAB_CHECKPOINTS
    folder.mkdir()
    (folder / f"{experiment.renders.get().pk}-0.pt").write_bytes(b"no checkpoint")
    assert painted(experiment).status == "done"
    assert not any(folder.iterdir())


def test_checkpoints_of_ended_renders_do_not_stay(
    media: Path, experiment: Any, settings: Any
) -> None:
    batch = queued(experiment)
    first, second = experiment.renders.all()
    first.cancel()
    folder = settings.NSTLAB_CHECKPOINTS
    folder.mkdir()
    for name in (f"{first.pk}-1.pt", f"{first.pk}-2.pt.part", f"{second.pk}-1.pt.part"):
        (folder / name).write_bytes(b"x")
    render_batch(batch.pk, 1)
    assert not any(folder.iterdir())


# Waves ------------------------------------------------------------------------


def test_a_wave_commits_each_render_as_it_ends(
    media: Path,
    make_experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together(monkeypatch, 4)
    experiment = make_experiment(
        alpha_beta=[0.01, 0.1], more_axes={"evaluations": [2, 60]}
    )
    order: list[tuple[int, int]] = []

    class Watches(leases.Lease):
        def hide(self, render: Render) -> None:
            super().hide(render)
            running = experiment.renders.filter(status="running").count()
            order.append((render.evaluations, running))

    monkeypatch.setattr(tasks, "Lease", Watches)
    assert render_batch(queued(experiment).pk, 1) == "4 painted"
    assert order == [(2, 4), (2, 3), (60, 2), (60, 1)]
    assert {row.environment["batch"] for row in experiment.renders.all()} == {4}


def test_in_a_wave_the_cancelled_one_stops_and_the_others_go_on(
    media: Path,
    make_experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Any,
) -> None:
    together(monkeypatch, 3)
    experiment = make_experiment(
        alpha_beta=[0.01], more_axes={"evaluations": [100_000, 150, 151]}
    )
    batch = queued(experiment)
    endless = experiment.renders.get(evaluations=100_000)

    def cancel() -> bool:
        endless.refresh_from_db()
        return bool(endless.progress.get("evaluations")) and bool(endless.cancel())

    meanwhile(cancel)
    assert render_batch(batch.pk, 1) == "2 painted"
    endless.refresh_from_db()
    assert (endless.status, endless.token) == ("cancelled", None)


def test_one_bad_picture_does_not_spoil_its_wave(
    media: Path, make_experiment: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from generation.models import Pair
    from generation.pictures.source_images import add_source_image
    from tests.conftest import png

    together(monkeypatch, 8)
    experiment = make_experiment(alpha_beta=[0.01, 0.1])
    lost, _ = add_source_image(data=png((1, 2, 3)), title="Lost")
    style = experiment.pairs.get().style
    Pair.objects.create(experiment=experiment, content=lost, style=style)
    batch = queued(experiment)
    lost.picture.storage.delete(lost.picture.name)
    render_batch(batch.pk, 1)
    states = experiment.renders.values_list("content__title", "status")
    assert sorted(states) == [("Lost", "failed"), ("Lost", "failed"),
                              ("Red", "done"), ("Red", "done")]  # fmt: skip
    assert "FileNotFoundError" in experiment.renders.last().traceback


def test_a_wave_without_enough_memory_is_painted_in_halves(
    media: Path,
    make_experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel refuses what eight pictures at once need, and gives what four do.

    A limit for all of it would also measure what earlier tests have left behind.
    """
    together(monkeypatch, 8)
    warm = make_experiment(name="Warm", alpha_beta=[1.0])
    render_batch(queued(warm).pk, 1)
    sizes: list[int] = []
    before = resource.getrlimit(resource.RLIMIT_AS)
    paint = tasks._Work._wave

    def watched(self: Any, renders: Any) -> Any:
        sizes.append(len(renders))
        limit = _address_space() + 200 * 2**20 if len(renders) > 4 else before[0]
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
        return paint(self, renders)

    monkeypatch.setattr(tasks._Work, "_wave", watched)
    experiment = make_experiment(
        size=256, evaluations=1, alpha_beta=[n / 100 for n in range(1, 9)]
    )
    try:
        render_batch(queued(experiment).pk, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert sizes == [8, 4, 4]
    reasons = experiment.renders.values_list("status", "reason")
    assert set(reasons) == {("done", "")}


def _address_space() -> int:
    """Bytes mapped by this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


# An alarm raises wherever the test happens to be, with coverage perhaps while it holds
# its lock for good (coverage 7.17).
@pytest.mark.no_cover
def test_the_time_that_runs_out_ends_the_whole_wave(
    media: Path, make_experiment: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    together(monkeypatch, 2)
    experiment = make_experiment(evaluations=100_000)
    batch = queued(experiment)
    with (
        pytest.raises(JobTimeoutException),
        UnixSignalDeathPenalty(4, JobTimeoutException),
    ):
        render_batch(batch.pk, 1)
    assert set(experiment.renders.values_list("status", flat=True)) == {"failed"}
    for row in experiment.renders.all():
        assert "fewer evaluations" in row.reason
