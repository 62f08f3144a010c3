"""The data set on disk: whole or not there, the same bytes every time, in CUHK's layout."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import tbps_cli
from tbps_cli.errors import OutputError
from tbps_cli.toypedes import drawing_pool
from tbps_cli.toypedes.dataset import SIZES, ToySize, draw_dataset, is_current, plan_dataset, read_truth

TINY = ToySize(4, 1, 2, images_per_person=2)
SEVERAL_CHUNKS = ToySize(22, 1, 2, images_per_person=2)
SOURCE = Path(tbps_cli.__file__).parents[1]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run_python(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A whole data set, not to be changed."""
    return draw_dataset(tmp_path_factory.mktemp("tiny") / "toy", TINY, processes=1)


def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path):
    alone = draw_dataset(tmp_path / "alone", SEVERAL_CHUNKS, seed=3, processes=1)
    together = draw_dataset(tmp_path / "together", SEVERAL_CHUNKS, seed=3, processes=2)
    assert len(contents(alone)) == 2 * SEVERAL_CHUNKS.images + 4
    assert contents(alone) == contents(together)


def test_another_seed_draws_other_people():
    assert list(plan_dataset(TINY, 0)) != list(plan_dataset(TINY, 1))


def test_the_plan_does_not_depend_on_the_hash_seed():
    code = (
        "from tbps_cli.toypedes.dataset import *\nfrom tbps_cli.toypedes.oracle import score_oracle\n"
        "truths = list(plan_dataset(ToySize(2, 1, 1), 0))\n"
        "print(hash(str(1)), '|', truths, score_oracle(truths))"
    )
    plans = [run_python(code, PYTHONHASHSEED=seed).communicate()[0].split("|", 1) for seed in ("1", "2")]
    assert plans[0][0] != plans[1][0]
    assert plans[0][1] == plans[1][1]


def test_a_data_set_twice_as_large_has_the_same_first_people():
    small = list(plan_dataset(ToySize(5, 3, 2), 0))
    large = list(plan_dataset(ToySize(10, 6, 4), 0))
    for split in ("train", "val", "test"):
        first = [replace(truth, person_id=0, file_path="") for truth in small if truth.split == split]
        other = [replace(truth, person_id=0, file_path="") for truth in large if truth.split == split]
        assert first == other[: len(first)]
        assert first


def test_ids_count_over_train_val_and_test():
    ids: dict[str, list[int]] = {}
    for truth in plan_dataset(TINY, 0):
        ids.setdefault(truth.split, []).append(truth.person_id)
    assert ids == {"train": [1, 1, 2, 2, 3, 3, 4, 4], "val": [5, 5], "test": [6, 6, 7, 7]}


def test_no_two_test_people_of_the_full_size_share_a_caption():
    texts: dict[str, int] = {}
    for truth in plan_dataset(ToySize(0, 0, SIZES["toy"].test), 0):
        for caption in truth.captions:
            assert texts.setdefault(caption.text, truth.person_id) == truth.person_id


def test_records_are_those_of_cuhk(tiny):
    records = json.loads((tiny / "reid_raw.json").read_text(encoding="utf-8"))
    assert len(records) == TINY.images
    for record in records:
        assert list(record) == ["split", "captions", "file_path", "processed_tokens", "id"]
        assert re.fullmatch(rf"{record['split']}/{record['id']:05d}_\d\.jpg", record["file_path"])
        assert len(record["captions"]) == len(record["processed_tokens"]) == 2
        for caption, tokens in zip(record["captions"], record["processed_tokens"], strict=True):
            assert tokens == re.sub("[.,]", "", caption.lower()).split()


def test_each_image_has_a_label_map_of_its_size(tiny):
    for truth in read_truth(tiny):
        with (
            Image.open(tiny / "imgs" / truth.file_path) as image,
            Image.open((tiny / "masks" / truth.file_path).with_suffix(".png")) as labels,
        ):
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert (labels.format, labels.mode) == ("PNG", "L")
            assert image.size == labels.size


def test_the_truth_is_the_plan(tiny):
    assert read_truth(tiny) == list(plan_dataset(TINY, 0))
    assert {truth.split for truth in read_truth(tiny, "test")} == {"test"}
    assert len(read_truth(tiny, "test")) == 4


def test_the_readme_says_that_it_shows_nobody_and_how_to_make_it_again(tiny):
    lines = (tiny / "README.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 3
    assert "shows nobody" in lines[0]
    assert "CC0" in lines[1]
    assert repr(TINY) in lines[2]


def test_a_whole_data_set_is_current_and_not_drawn_again(tiny):
    before = (tiny / "toypedes.json").stat().st_mtime_ns
    assert is_current(tiny, TINY, 0)
    assert not is_current(tiny, TINY, 1)
    assert not is_current(tiny, replace(TINY, train=5), 0)
    assert not is_current(tiny.parent / "absent", TINY, 0)
    assert draw_dataset(tiny, TINY, processes=1) == tiny
    assert (tiny / "toypedes.json").stat().st_mtime_ns == before


def test_progress_counts_to_the_number_of_images(tmp_path):
    seen = []
    draw_dataset(tmp_path / "toy", SEVERAL_CHUNKS, processes=1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (SEVERAL_CHUNKS.images, SEVERAL_CHUNKS.images)
    assert seen == sorted(set(seen))
    assert len(seen) > 1


def test_an_empty_folder_is_filled(tmp_path):
    assert is_current(draw_dataset(tmp_path, TINY, processes=1), TINY, 0)


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"not a ToyPEDES.*Choose another folder"):
        draw_dataset(tmp_path, TINY, processes=1)
    assert contents(tmp_path) == {"holiday.jpg": b"precious"}


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "toy").write_text("a file")
    with pytest.raises(OutputError, match="not a ToyPEDES"):
        draw_dataset(tmp_path / "toy", TINY, processes=1)
    with pytest.raises(OutputError, match="cannot be written"):
        draw_dataset(tmp_path / "toy" / "below", TINY, processes=1)


def test_a_data_set_of_another_seed_is_refused_naming_both(tiny):
    before = contents(tiny)
    with pytest.raises(OutputError, match=r"seed 0 instead of 7.*Remove it, or choose another folder"):
        draw_dataset(tiny, TINY, seed=7, processes=1)
    assert contents(tiny) == before


def test_a_data_set_that_lost_an_image_is_not_current(tiny, tmp_path):
    root = shutil.copytree(tiny, tmp_path / "toy")
    next((root / "imgs").rglob("*.jpg")).unlink()
    assert not is_current(root, TINY, 0)
    with pytest.raises(OutputError, match="lacks files"):
        draw_dataset(root, TINY, processes=1)


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    written = []

    def fill_up(image, quality):
        written.append(image)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some.jpg")
        return b"jpeg"

    monkeypatch.setattr(drawing_pool, "encode_jpeg", fill_up)
    with pytest.raises(OutputError, match=r"toy: cannot be written \(No space left on device at some\.jpg\)"):
        draw_dataset(tmp_path / "toy", TINY, processes=1)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_place_is_an_output_error(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match="Read-only file system"):
        draw_dataset(tmp_path / "toy", TINY, processes=1)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupt_cleans_up(tmp_path, processes):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_dataset(tmp_path / "toy", SEVERAL_CHUNKS, processes=processes, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_nothing_that_looks_whole_and_the_next_one_succeeds(tmp_path):
    root = tmp_path / "toy"
    code = (
        "from pathlib import Path\nfrom tbps_cli.toypedes.dataset import *\n"
        f"draw_dataset(Path({str(root)!r}), ToySize(3000, 1, 1), processes=2,"
        " progress=lambda done, total: print(done, flush=True))"
    )
    process = run_python(code)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    # The pipe closes when the last worker has ended: they must not outlive the parent.
    started = time.monotonic()
    process.communicate(timeout=20)
    assert time.monotonic() - started < 20
    assert [path.name for path in tmp_path.iterdir()] == [".toy.partial"]
    assert not is_current(root, TINY, 0)
    draw_dataset(root, TINY, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_the_folder_of_a_living_process_is_left_alone(tmp_path):
    living = tmp_path / f"toy.partial-{os.getppid()}"
    living.mkdir()
    draw_dataset(tmp_path / "toy", TINY, processes=1)
    assert living.is_dir()


def test_who_draws_the_same_at_the_same_time_may_come_second(tmp_path, tiny):
    root = tmp_path / "toy"

    def other_is_faster(done, total):
        if not root.exists():
            shutil.copytree(tiny, root)

    assert draw_dataset(root, TINY, processes=1, progress=other_is_faster) == root
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
