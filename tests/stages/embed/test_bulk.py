"""Bulk embedding: the same bytes however often it was killed and whoever did the work, and galleries that grow."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tbps_cli import processes as meeting
from tbps_cli.errors import DataError, FeatureMismatchError, OutputError
from tbps_cli.features import open_features
from tbps_cli.processes import Processes
from tbps_cli.stages.embed import bulk as stage
from tbps_cli.stages.embed import precision
from tbps_cli.stages.embed.bulk import embed_crops
from tbps_cli.stages.embed.parts import PartFolder
from tbps_cli.stages.embed.precision import BulkEncoder, choose_precision
from tbps_cli.stages.gallery.health import show_gallery
from tbps_cli.stages.gallery.rewrite import drop, merge_galleries
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun
from tests.doubles.two_processes import run_together

CALLS = ("fsync", "replace", "unlink")  # what changes the disk


def paint(folder: Path, count: int, first: int = 0) -> Path:
    """`count` images of noise, each its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((20, 40)).save(folder / f"{number:03}.png")
    return folder


def embed(run: Path, images: Path, out: Path, **options: Any) -> stage.CropsResult:
    options = {"batch": 4, "device": "cpu", "precision": "float32"} | options
    return embed_crops(run, [str(images)], out, **options)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "ROWS_A_PART", 8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = paint(tmp_path / "crops", 30)
    (folder / "011.png").write_bytes(b"no image")
    return folder


def test_names_people_hashes_and_what_was_left_out_are_kept(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    result = embed(tiny.run, images, tmp_path / "g.h5")
    assert (result.images, result.added, result.unchanged, result.unreadable) == (29, 29, 0, 1)
    assert "011.png: not an image" in result.problems[0]
    with open_features(tmp_path / "g.h5") as features:
        assert features.images is not None
        assert features.skipped is not None
        assert list(features.images.names) == [f"{n:03}.png" for n in range(30) if n != 11]
        assert list(features.skipped.names) == ["011.png"]
        assert features.images.hashes is not None
        assert len(np.unique(features.images.hashes, axis=0)) == 29
        assert features.verify() == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def begin_and_be_killed(processes: Processes, run: str, images: str, out: str, kill_at: int) -> None:
    stage.ROWS_A_PART = 8
    numbers = itertools.count()

    def counted(original: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if next(numbers) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **keywords)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    embed(Path(run), Path(images), Path(out))


def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    images: Path, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(tiny.run, images, tmp_path / "whole.h5")
    whole = (tmp_path / "whole.h5").read_bytes()
    with open_features(tmp_path / "whole.h5") as features:
        created = features.info.created
    describe = stage.describe
    monkeypatch.setattr(stage, "describe", lambda *a, **k: describe(*a, **k).dated(created))
    out, kills = tmp_path / "g.h5", 0
    for kill_at in (1, 2, 3, 0, 4, 6, 7, 2, 1):
        call = partial(begin_and_be_killed, run=str(tiny.run), images=str(images), out=str(out), kill_at=kill_at)
        (ended,) = run_together(1, tmp_path, call)
        kills += ended.code == -signal.SIGKILL
        if out.exists():
            break
    assert kills >= 5
    parts = PartFolder(out)
    begun = parts.identity().get("created")
    embed(tiny.run, images, out)
    with open_features(out) as features:
        assert begun in (None, features.info.created)
        begun = features.info.created
    assert out.read_bytes() == whole.replace(created.encode(), begun.encode())
    assert not parts.folder.exists()


def test_a_run_that_was_killed_after_its_last_step_is_finished(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartFolder, "clear", lambda self: None)
        embed(tiny.run, images, out)
    content = out.read_bytes()
    assert PartFolder(out).is_finished
    result = embed(tiny.run, images, out)
    assert (result.images, result.unreadable) == (29, 1)
    assert out.read_bytes() == content
    assert not PartFolder(out).folder.exists()
    with pytest.raises(OutputError, match="exists"):
        embed(tiny.run, images, out)


def take_a_share(processes: Processes, run: str, images: str, out: str) -> dict[str, Any]:
    stage.ROWS_A_PART = 8
    meeting.join_processes = lambda device_type: processes  # type: ignore[assignment]  # it has met the others already
    meeting.leave_processes = lambda processes: None
    result = embed(Path(run), Path(images), Path(out))
    return {"rank": result.rank, "added": result.added}


def test_two_processes_make_what_one_makes(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    embed(tiny.run, images, tmp_path / "one.h5")
    out = tmp_path / "two.h5"
    ended = run_together(2, tmp_path, partial(take_a_share, run=str(tiny.run), images=str(images), out=str(out)))
    assert [one.error for one in ended] == ["", ""]
    assert ended[0].returned == {"rank": 0, "added": 29}
    with open_features(tmp_path / "one.h5") as one, open_features(out) as two:
        assert one.images is not None
        assert two.images is not None
        assert list(one.images.names) == list(two.images.names)
        assert np.array_equal(one.images.read(), two.images.read())


def test_only_what_is_new_or_changed_is_embedded_again(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    embed(tiny.run, images, out)
    with open_features(out) as features:
        assert features.images is not None
        before = dict(zip(features.images.names, features.images.read(), strict=True))
    paint(images, 5, first=30)
    paint(images, 1, first=11)  # what could not be read is mended
    (images / "002.png").write_bytes((images / "030.png").read_bytes())
    (images / "004.png").unlink()  # stays in the gallery until it is dropped
    result = embed(tiny.run, images, out, append=True)
    assert (result.images, result.added, result.unchanged, result.unreadable) == (35, 7, 27, 0)
    with open_features(out) as features:
        assert features.images is not None
        assert features.skipped is None
        after = dict(zip(features.images.names, features.images.read(), strict=True))
        assert features.verify() == []
    assert set(after) == set(before) | {"011.png", *(f"{n:03}.png" for n in range(30, 35))}
    assert np.array_equal(after["002.png"], after["030.png"])
    assert all(np.array_equal(after[name], row) for name, row in before.items() if name != "002.png")
    (images / "035.png").write_bytes(b"no image")
    assert embed(tiny.run, images, out, append=True).unreadable == 1
    content = out.read_bytes()
    result = embed(tiny.run, images, out, append=True)
    assert (result.added, result.unreadable) == (0, 1)
    assert out.read_bytes() == content
    with open_features(out) as features:
        assert features.skipped is not None
        assert list(features.skipped.names) == ["035.png"]


def test_metadata_becomes_columns_and_grows_with_the_gallery(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    table = tmp_path / "cameras.csv"
    table.write_text("name,camera,tag\n000.png,3,indoor\n001.png,4,\n999.png,5,x\n")
    out = tmp_path / "g.h5"
    embed(tiny.run, images, out, metadata=table)
    table.write_text("name,camera,time\n001.png,7,2024\n030.png,8,\n")
    paint(images, 1, first=30)
    embed(tiny.run, images, out, metadata=table, append=True)
    with open_features(out) as features:
        assert features.images is not None
        assert {name: column.kind for name, column in features.images.columns.items()} == {
            "camera": "number", "tag": "text", "time": "number",
        }  # fmt: skip
        rows = {name: row for row, name in enumerate(features.images.names)}
        values = {name: column.values() for name, column in features.images.columns.items()}
    assert [values["camera"][rows[name]] for name in ("000.png", "001.png", "030.png")] == [3, 7, 8]
    assert (values["tag"][rows["000.png"]], values["tag"][rows["030.png"]]) == ("indoor", "")
    assert np.isnan(values["camera"][rows["005.png"]])
    table.write_text("name,camera\n001.png,north\n")
    with pytest.raises(DataError, match="camera"):
        embed(tiny.run, images, out, metadata=table, append=True)


def test_shards_lists_globs_and_standard_input_are_sources(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "crops" / "shard.tar", "w") as shard:
        for number in range(3):
            content = (images / f"{number:03}.png").read_bytes()
            member = tarfile.TarInfo(f"inside/{number}.png")
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    (tmp_path / "list.txt").write_text(f"{images / '001.png'}\n{images / '002.png'}\n")
    expected = {
        str(images / "*.tar"): ["shard.tar/inside/0.png", "shard.tar/inside/1.png", "shard.tar/inside/2.png"],
        f"@{tmp_path / 'list.txt'}": ["001.png", "002.png"],
        str(images / "02?.png"): [f"02{n}.png" for n in range(10)],
        "-": ["005.png"],
    }
    for number, (source, names) in enumerate(expected.items()):
        out = tmp_path / f"{number}.h5"
        stdin = io.BytesIO(str(images / "005.png").encode()) if source == "-" else None
        embed_crops(tiny.run, [source], out, root=images, stdin=stdin, device="cpu")
        with open_features(out) as features:
            assert features.images is not None
            assert list(features.images.names) == names


def test_a_second_run_at_the_same_gallery_is_refused(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    with PartFolder(out).held(), pytest.raises(OutputError, match="another process"):
        embed(tiny.run, images, out)
    assert not out.exists()
    embed(tiny.run, images, out)
    with pytest.MonkeyPatch.context() as patch:  # whoever adds looks at the gallery when nobody else can change it
        patch.setattr(stage, "ExistingGallery", lambda _: drop(out, names=["003.png"]))
        with pytest.raises(OutputError, match="another process"):
            embed(tiny.run, images, out, append=True)


def stop_before_the_end(run: Path, images: Path, out: Path) -> None:
    """All parts are made, and not joined."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage._Job, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            embed(run, images, out)


def test_parts_of_another_run_are_not_mixed_in(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    stop_before_the_end(tiny.run, images, out)
    paint(images, 1, first=50)
    with pytest.raises(OutputError, match="other images"):
        embed(tiny.run, images, out)
    assert embed(tiny.run, images, out, overwrite=True).images == 30


def test_a_damaged_part_is_named(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    stop_before_the_end(tiny.run, images, out)
    part = PartFolder(out).folder / "000001.npz"
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(OutputError, match=r"000001\.npz: damaged"):
        embed(tiny.run, images, out)
    part.unlink()
    assert embed(tiny.run, images, out).images == 29


def test_only_a_gallery_of_this_checkpoint_and_of_no_data_set_is_added_to(
    images: Path, tiny: TinyRun, tmp_path: Path
) -> None:
    out = tmp_path / "g.h5"
    embed(tiny.run, images, out)
    with h5py.File(out, "r+") as file:
        file.attrs["checkpoint_sha256"] = "0" * 64
    content = out.read_bytes()
    with pytest.raises(FeatureMismatchError, match="anew"):
        embed(tiny.run, images, out, append=True)
    assert out.read_bytes() == content
    message = fail_tbps("embed", "--checkpoint", tiny.run, "--images", images, "--append", "--out", tiny.gallery)
    assert "complete" in message


class Noisy:
    """An encoder on a device of a name, which may be wrong."""

    def __init__(self, device: str, noise: float = 0.0) -> None:
        self.device, self.noise = torch.device(device), noise

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        rows = torch.eye(len(pixels)) + self.noise * torch.ones(len(pixels), len(pixels))
        return torch.nn.functional.normalize(rows, dim=1)


@pytest.mark.parametrize(
    ("device", "has_bf16", "noise", "chosen"),
    [
        ("cuda", True, 0.0, "bf16"),
        ("cuda", False, 0.0, "fp16"),
        ("cuda", True, 0.3, "float32"),
        ("cuda", True, float("nan"), "float32"),
        ("cpu", True, 0.0, "bf16"),
        ("cpu", False, 0.0, "float32"),
        ("mps", True, 0.0, "float32"),
    ],
)
def test_the_device_decides_on_the_precision_and_no_clock(
    monkeypatch: pytest.MonkeyPatch, device: str, has_bf16: bool, noise: float, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    built = {"float32": Noisy(device), "bf16": Noisy(device, noise), "fp16": Noisy(device, noise)}
    assert choose_precision(lambda name: built[name], torch.zeros(4, 3, 2, 2)) == chosen  # type: ignore[arg-type, return-value]
    assert not hasattr(precision, "time")


def test_the_precision_stands_in_the_gallery_and_is_compared(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "g.h5"
    embed(tiny.run, images, out, precision="bf16")
    with open_features(out) as file:
        assert file.info.precision == "bf16"
    Image.new("RGB", (8, 16)).save(images / "new.png")
    content = out.read_bytes()
    with pytest.raises(FeatureMismatchError, match="at precision bf16, not float32"):
        embed(tiny.run, images, out, append=True, precision="float32")
    assert out.read_bytes() == content
    assert embed(tiny.run, images, out, append=True, precision="auto").precision == "bf16"
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (8, 16)).save(other / "other.png")
    embed(tiny.run, other, tmp_path / "h.h5", precision="float32")
    merged = merge_galleries([out, tmp_path / "h.h5"], tmp_path / "m.h5")
    assert merged.precision == show_gallery(tmp_path / "m.h5").precision == "bf16, float32"


def test_half_precision_is_near_the_whole(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    from tbps_cli.assembly.models import load_encoder

    encoder = load_encoder(tiny.run, torch.device("cpu"), text=False)
    pixels = torch.randint(0, 255, (5, 3, 32, 16), dtype=torch.uint8)
    whole, half = (BulkEncoder(encoder.dual, encoder.transform, name)(pixels) for name in ("float32", "bf16"))
    assert torch.allclose(whole, encoder.dual.encode_image(encoder.transform.normalise(pixels)), atol=1e-6)
    cosines = (whole * half).sum(dim=1)
    assert (cosines > 0.99).all()
    assert not torch.equal(whole, half)


def test_a_small_batch_is_filled_up_for_a_compiled_encoder(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from tbps_cli.assembly.models import load_encoder

    sizes: list[int] = []

    def compile(encode: Any) -> Any:
        return lambda images: (sizes.append(len(images)), encode(images))[1]

    monkeypatch.setattr(torch, "compile", compile)
    encoder = load_encoder(tiny.run, torch.device("cpu"), text=False)
    pixels = torch.randint(0, 255, (5, 3, 32, 16), dtype=torch.uint8)
    compiled = BulkEncoder(encoder.dual, encoder.transform, compiled=8)(pixels)
    assert sizes == [8]
    assert torch.allclose(compiled, BulkEncoder(encoder.dual, encoder.transform)(pixels), atol=1e-6)


def test_the_command_adds_and_says_so(images: Path, tiny: TinyRun, tmp_path: Path) -> None:
    arguments = ["embed", "--checkpoint", tiny.run, "--images", images, "--out", tmp_path / "g.h5", "--json"]
    first = json.loads(run_tbps(*arguments).stdout)
    assert (first["added"], first["unreadable"]) == (29, 1)
    assert "--append" in fail_tbps(*arguments)
    again = json.loads(run_tbps(*arguments, "--append").stdout)
    assert (again["images"], again["added"], again["unchanged"]) == (29, 0, 29)
    assert "not both" in fail_tbps(*arguments, "--append", "--overwrite")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("name,camera\ncrops/000.png,1\ncrops/001.png,2\n", ["no line fits any image", "'crops/000.png'", "'000.png'"]),
        ("name,camera\n", ["no line below its header"]),
        ("image,camera\n000.png,1\n", ["no column 'name'"]),
        ("name,cam/era\n000.png,1\n", ["cannot be asked for"]),
        (None, ["no.csv"]),
    ],
)
def test_metadata_that_is_of_no_use_is_said_before_the_first_image(
    table: str | None, said: list[str], images: Path, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "choose_precision", not_reached)
    monkeypatch.setattr(BulkEncoder, "__call__", not_reached)
    path = tmp_path / "no.csv"
    if table is not None:
        path.write_text(table)
    arguments = ["embed", "--checkpoint", tiny.run, "--images", images, "--metadata", path, "--out", tmp_path / "g.h5"]
    message = fail_tbps(*arguments)
    assert all(text in message for text in said), message
    assert not (tmp_path / "g.h5").exists()


def test_columns_that_disagree_with_the_gallery_are_said_before_the_first_image(
    images: Path, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = tmp_path / "cameras.csv", tmp_path / "g.h5"
    table.write_text("name,camera\n000.png,1\n")
    embed(tiny.run, images, out, metadata=table)
    table.write_text("name,camera\n000.png,north\n")
    monkeypatch.setattr(BulkEncoder, "__call__", not_reached)
    with pytest.raises(DataError, match="holds texts, and numbers in the gallery"):
        embed(tiny.run, images, out, metadata=table, append=True)


@pytest.mark.parametrize("append", [False, True])
def test_a_disk_that_is_too_small_is_said_before_the_first_image(
    append: bool, images: Path, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if append:
        embed(tiny.run, images, tmp_path / "g.h5")
        paint(images, 5, first=100)
    row = 2 * 32 + 16  # halves and a hash; images in the parts, and then in the gallery
    new = 5 + 1 if append else 30  # the unreadable one is looked at again
    needed = new * row + (29 + new if append else 30) * row
    monkeypatch.setattr(BulkEncoder, "__call__", not_reached)
    free = needed - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, free))
    with pytest.raises(OutputError, match=r"takes 0\.000 GB at least, and its disk has 0\.000 GB left"):
        embed(tiny.run, images, tmp_path / "g.h5", append=append)
    free = needed
    with pytest.raises(AssertionError, match="reached"):
        embed(tiny.run, images, tmp_path / "g.h5", append=append)


def not_reached(*arguments: Any, **keywords: Any) -> Any:
    raise AssertionError("reached")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_list_that_names_what_is_not_there_costs_that_line(encoding: str, tiny: TinyRun, tmp_path: Path) -> None:
    images, listed, out = paint(tmp_path / "crops", 3), tmp_path / "list.txt", tmp_path / "g.h5"
    lines = ["# of Monday", *(f' "{images}/{number:03}.png" ' for number in range(3)), "/elsewhere/gone.png"]
    listed.write_text("\r\n".join([*lines, f"{images}/gone.tar"]), encoding=encoding)
    embed_tiny = ("embed", "--checkpoint", tiny.run, "--images", f"@{listed}", "--device", "cpu", "--out")
    result = run_tbps(*embed_tiny, out, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["images"], told["missing"], told["unreadable"]) == (3, 2, 2)
    assert told["missing_names"] == [
        f"/elsewhere/gone.png: no such image, named in line 5 of {listed}.",
        f"{images}/gone.tar: no such image, named in line 6 of {listed}.",
    ]
    assert "not there: 2 of the images that are listed" in result.stderr
    with open_features(out) as features:
        assert features.images is not None
        assert list(features.images.names) == ["000.png", "001.png", "002.png"]
        assert features.info.root == str(images)
        assert features.verify() == []
    assert run_tbps("gallery", "show", out).exit_code == 0
    assert run_tbps(*embed_tiny, out, "--append").exit_code == 1
    listed.write_text("/elsewhere/gone.png\n")
    assert "none of its images is there, such as line 1" in fail_tbps(*embed_tiny, tmp_path / "h.h5")


def test_a_name_in_another_normal_form_is_the_same_image(tiny: TinyRun, tmp_path: Path) -> None:
    composed, decomposed = "caf\xe9.png", "cafe\u0301.png"
    images, out = paint(tmp_path / "crops", 2), tmp_path / "g.h5"
    (images / "000.png").rename(images / decomposed)
    (tmp_path / "m.csv").write_text(f"name,camera\n{composed},3\n001.png,4\n", encoding="utf-8")
    embed(tiny.run, images, out, metadata=tmp_path / "m.csv")
    with open_features(out) as features:
        assert features.images is not None
        cameras = dict(zip(features.images.names, features.images.columns["camera"].values(), strict=True))
    assert cameras == {"001.png": 4, decomposed: 3}
    (images / decomposed).rename(images / composed)
    result = embed(tiny.run, images, out, append=True)
    assert (result.images, result.added, result.unchanged) == (2, 0, 2)


def test_images_that_look_like_photographs_are_told(tiny: TinyRun, tmp_path: Path) -> None:
    images = paint(tmp_path / "crops", 1)
    for number in range(2):
        Image.new("RGB", (64, 48), (number, 0, 0)).save(images / f"wide{number}.jpg")
    (images / "notes.txt").touch()
    result = run_tbps("embed", "--checkpoint", tiny.run, "--images", images, "--out", tmp_path / "g.h5", "--json")
    assert "2 of 3 images are wider than high" in result.stderr
    assert "passed over: 1 other files (1 .txt)" in result.stderr
    told = json.loads(result.stdout)
    assert (told["wide"], told["passed_over"], told["other_files"]) == (2, {}, {".txt": 1})
    paint(images, 4)
    assert not stage.advise_on_shapes(embed(tiny.run, images, tmp_path / "h.h5"))


def test_what_macos_packs_is_no_error_even_where_all_must_be_read(tiny: TinyRun, tmp_path: Path) -> None:
    images = paint(tmp_path / "crops", 2)
    (images / "__MACOSX").mkdir()
    for beside in ("._000.png", "__MACOSX/._000.png"):
        (images / beside).write_bytes(b"\0\5\x16\7")
    result = embed(tiny.run, images, tmp_path / "g.h5", strict=True)
    assert (result.images, result.passed_over) == (2, {"macos": 2})
