"""`tbps evaluate`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tbps_cli.features import FeatureInfo, FeatureWriter, open_features
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun


def evaluate(*arguments: object) -> list[dict[str, Any]]:
    result = run_tbps("evaluate", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


@pytest.fixture
def own(tiny: TinyRun, tmp_path: Path) -> Path:
    """The tiny test split as somebody's own data, images and all."""
    root = tmp_path / "data"
    shutil.copytree(tiny.root, root)
    run_tbps("data", "convert", "toy-tiny", "--root", root, "--out", root / "all.jsonl")
    rows = [json.loads(line) for line in (root / "all.jsonl").read_text().splitlines()]
    return write_rows(root / "mine.jsonl", [row for row in rows if row["split"] == "test"])


def write_rows(out: Path, rows: list[dict[str, Any]]) -> Path:
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def test_a_file_and_a_checkpoint_agree(tiny: TinyRun) -> None:
    (from_file,) = evaluate(tiny.gallery, "--both")
    (from_model,) = evaluate("--checkpoint", tiny.run / "best", "--dataset", "toy-tiny", "--root", tiny.root, "--both")
    for direction in ("text_to_image", "image_to_text"):
        # float16 on disk may swap two neighbours in rank
        assert from_file[direction] == pytest.approx(from_model[direction], abs=0.03)
    assert from_file["oracle"] == from_model["oracle"]


def test_a_table_shows_metrics_intervals_and_the_oracle(tiny: TinyRun) -> None:
    output = run_tbps("evaluate", tiny.gallery).stdout
    for said in ("toy-tiny test", "95 % interval", "oracle", "rank-10", "mINP", "96", "48"):
        assert said in output
    assert "image → text" not in output
    assert "as released" not in output


def test_the_interval_holds_the_value(tiny: TinyRun) -> None:
    (found,) = evaluate(tiny.gallery)
    for name, interval in found["intervals"].items():
        assert 0 <= interval["low"] <= found["text_to_image"][name] <= interval["high"] <= 1


def test_a_run_is_measured_at_its_best_epoch_and_beside_it_at_the_last(tiny: TinyRun, tmp_path: Path) -> None:
    best, last = (json.loads((tiny.run / name / "report.json").read_text())["epoch"] for name in ("best", "last"))
    found = evaluate("--checkpoint", tiny.run, "--dataset", "toy-tiny", "--root", tiny.root)
    named = [f"best and last, epoch {last}"] if best == last else [f"best, epoch {best}", f"last, epoch {last}"]
    assert [evaluation["model"] for evaluation in found] == named


def test_several_data_sets_make_one_table(tiny: TinyRun, own: Path) -> None:
    arguments = ["--checkpoint", tiny.run / "last", "--dataset", "toy-tiny", "--dataset", own, "--root", own.parent]
    toy, mine = evaluate(*arguments)
    assert toy["text_to_image"] == mine["text_to_image"]
    assert (toy["dataset"], mine["dataset"]) == ("toy-tiny", str(own))
    assert mine["oracle"] is None
    output = run_tbps("evaluate", *arguments).stdout
    assert "toy-tiny test · last" in output
    assert "mine.jsonl test · last" in output


def test_a_split_without_captions_is_said_before_anything_is_embedded(tiny: TinyRun, own: Path) -> None:
    rows = [{**json.loads(line), "captions": []} for line in own.read_text().splitlines()]
    message = fail_tbps("evaluate", "--checkpoint", tiny.run, "--dataset", write_rows(own, rows))
    assert "no image of test has a caption" in message


def test_an_image_without_captions_is_searched_and_asks_nothing(tiny: TinyRun, own: Path) -> None:
    rows = [json.loads(line) for line in own.read_text().splitlines()]
    rows.append({**rows[0], "image": rows[0]["image"], "captions": []})
    shutil.copy(own.parent / rows[0]["image"], own.parent / "stranger.jpg")
    rows.append({"image": "stranger.jpg", "captions": [], "person_id": 10**9, "split": "test"})
    (found,) = evaluate("--checkpoint", tiny.run / "last", "--dataset", write_rows(own, rows), "--both")
    assert (found["text_to_image"]["queries"], found["text_to_image"]["gallery"]) == (96, 49)
    assert (found["image_to_text"]["queries"], found["image_to_text"]["gallery"]) == (48, 96)


def test_a_missing_image_stops_the_evaluation_by_name(tiny: TinyRun, own: Path) -> None:
    first = json.loads(own.read_text().splitlines()[0])["image"]
    (own.parent / first).unlink()
    assert first in fail_tbps("evaluate", "--checkpoint", tiny.run / "last", "--dataset", own)


def test_the_released_protocol_halves_the_gallery_and_warns(tiny: TinyRun) -> None:
    result = run_tbps("evaluate", tiny.gallery, "--protocol", "ctlg", "--json")
    (found,) = json.loads(result.stdout)
    assert "must not be compared" in result.stderr
    # every second caption row: with two captions an image, each image once
    assert found["released"]["gallery"] == 48
    assert found["released"]["rank_1"] == found["text_to_image"]["rank_1"]
    assert found["released"]["mean_ap"] < found["text_to_image"]["mean_ap"]
    assert "as released" in run_tbps("evaluate", tiny.gallery, "--protocol", "ctlg").stdout


def test_every_query_has_its_line(tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "queries.csv"
    (found,) = json.loads(run_tbps("evaluate", tiny.gallery, "--per-query", out, "--json").stdout)
    with out.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 96
    ranks = [int(line["first_rank"]) for line in lines]
    assert np.mean([rank == 1 for rank in ranks]) == pytest.approx(found["text_to_image"]["rank_1"])
    assert np.mean([float(line["average_precision"]) for line in lines]) == pytest.approx(
        found["text_to_image"]["mean_ap"], abs=1e-6
    )
    with open_features(tiny.gallery) as features:
        assert features.captions is not None
        assert [line["caption"] for line in lines] == features.captions.names
    for line, rank in zip(lines, ranks, strict=True):
        assert (line["top_person_id"] == line["person_id"]) == (rank == 1)


def test_a_caption_is_no_formula_in_the_table_of_queries(tiny: TinyRun, tmp_path: Path) -> None:
    with open_features(tiny.gallery) as features:
        info = features.info
    gallery, out = tmp_path / "g.h5", tmp_path / "queries.csv"
    with FeatureWriter(gallery, info, 2) as writer:
        writer.add_images(["@a.jpg"], [3], torch.eye(2)[:1])
        writer.add_captions(["=1+1", "-1"], [3, 3], [0, 0], torch.eye(2))
    assert run_tbps("evaluate", gallery, "--per-query", out).exit_code == 0
    with out.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["caption"] for line in lines] == ["'=1+1", "-1"]
    assert {line["image"] for line in lines} == {line["top_image"] for line in lines} == {"'@a.jpg"}


def test_the_page_shows_the_hardest_queries(tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = run_tbps("evaluate", tiny.gallery, "--html", out)
    assert str(out) in result.stderr
    page = out.read_text()
    assert "toy-tiny test" in page
    assert page.count("data:image/jpeg") > 20
    with open_features(tiny.gallery) as features:
        assert features.captions is not None
        assert sum(caption in page for caption in features.captions.names) >= 5


@pytest.mark.parametrize("option", ["--html", "--per-query"])
def test_a_file_that_exists_is_kept_and_said_before_the_work(option: str, tiny: TinyRun, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.write_text("mine")
    assert "--overwrite" in fail_tbps("evaluate", tiny.gallery, option, out)
    assert out.read_text() == "mine"
    assert run_tbps("evaluate", tiny.gallery, option, out, "--overwrite").exit_code == 0
    assert out.read_text() != "mine"


def test_a_gallery_without_captions_cannot_be_evaluated(tiny: TinyRun, tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    Image.new("RGB", (8, 16)).save(tmp_path / "crops/a.png")
    out = tmp_path / "g.h5"
    run_tbps("embed", "--checkpoint", tiny.run, "--images", tmp_path / "crops", "--out", out)
    assert "holds no captions" in fail_tbps("evaluate", out)


def test_a_query_that_nobody_can_answer_is_named_with_its_file(tiny: TinyRun, tmp_path: Path) -> None:
    with open_features(tiny.gallery) as features:
        info = features.info
    out = tmp_path / "g.h5"
    with FeatureWriter(out, info, 2) as writer:
        writer.add_images(["a.jpg"], [3], torch.eye(2)[:1])
        writer.add_captions(["A man.", "A woman."], [3, 4], [0, -1], torch.eye(2))
    message = fail_tbps("evaluate", out)
    assert str(out) in message
    assert "rows 1 (person 4)" in message


@pytest.mark.parametrize(
    "arguments",
    [[], ["--checkpoint", "x"], ["--dataset", "toy"], ["g.h5", "--dataset", "toy"], ["g.h5", "--split", "test"]],
)
def test_what_does_not_fit_together_is_a_matter_of_usage(arguments: list[str]) -> None:
    assert run_tbps("evaluate", *arguments).exit_code == 2


def test_an_image_that_is_listed_twice_is_refused_under_any_spelling(tiny: TinyRun, own: Path) -> None:
    rows = [json.loads(line) for line in own.read_text().splitlines()]
    rows.append({**rows[0], "image": f"./{rows[0]['image']}"})
    (found,) = evaluate("--checkpoint", tiny.run / "last", "--dataset", write_rows(own, rows))
    assert found["text_to_image"]["gallery"] == 48
    annotations = own.parent / "ToyPEDES-tiny/reid_raw.json"
    records = json.loads(annotations.read_text())
    annotations.write_text(json.dumps([*records, records[-1]]))
    arguments = ["evaluate", "--checkpoint", tiny.run / "last", "--dataset", "toy-tiny", "--root", own.parent]
    assert "more than once" in fail_tbps(*arguments)


def test_outputs_that_cannot_be_are_said_before_the_work(tiny: TinyRun, tmp_path: Path) -> None:
    assert "is no folder that allows it" in fail_tbps("evaluate", tiny.gallery, "--html", tmp_path / "no/x.html")
    same = tmp_path / "same"
    assert "asked for twice" in fail_tbps("evaluate", tiny.gallery, "--html", same, "--per-query", same)
    assert not same.exists()


@pytest.mark.parametrize(
    ("captions", "counted"),
    [
        (["lorem ipsum dolor sit amet", "a lorem"], (2, 2, 2, 0)),
        (["a woman in a red coat", "a womann in a red coat", "red " * 200], (3, 1, 0, 1)),
    ],
)
def test_captions_that_the_model_cannot_read_are_counted(
    captions: list[str], counted: tuple[int, ...], own: Path, tiny: TinyRun, tmp_path: Path
) -> None:
    (row, *_) = [json.loads(line) for line in own.read_text().splitlines()]
    mine, page = write_rows(own.parent / "few.jsonl", [{**row, "captions": captions}]), tmp_path / "page.html"
    arguments = ["evaluate", "--checkpoint", tiny.run / "best", "--dataset", mine, "--root", own.parent]
    result = run_tbps(*arguments, "--json", "--html", page)
    (found,) = json.loads(result.stdout)
    assert tuple(found["captions"].values()) == counted
    number, unknown, all_unknown, cut = counted
    said = (
        f"of {number} captions {unknown} hold words that the model does not know, {all_unknown} no word that it does "
        f"know, and {cut} were cut"
    )
    assert "few.jsonl test · best, epoch" in result.stderr
    assert said in result.stderr
    assert said[1:] in page.read_text()


def test_the_released_figures_of_a_file_are_those_of_the_released_code(tmp_path: Path) -> None:
    """What plain torch makes of the rows of a file, as the released code does: normalise, multiply, sort, add up."""
    generator = torch.Generator().manual_seed(3)
    people = torch.arange(40).repeat_interleave(3)
    images, captions = (torch.randn(120, 16, generator=generator) for _ in range(2))
    captions = torch.nn.functional.normalize(captions + images, dim=1).repeat_interleave(2, dim=0)
    images = torch.nn.functional.normalize(images, dim=1)
    info = FeatureInfo("/nowhere", "0" * 64, "", "", "test", str(tmp_path), precision="float32")
    with FeatureWriter(tmp_path / "g.h5", info, 16) as writer:
        writer.add_images([f"{row}.png" for row in range(120)], people.tolist(), images)
        rows = torch.arange(120).repeat_interleave(2)
        writer.add_captions([f"caption {row}" for row in range(240)], people[rows].tolist(), rows.tolist(), captions)
    query, gallery = (
        torch.nn.functional.normalize(rows.half().float(), p=2, dim=1) for rows in (captions, images[rows][::2])
    )
    ids = people[rows]
    order = torch.argsort(query @ gallery.t(), dim=1, descending=True)
    matches = ids[::2][order].eq(ids[:, None])
    found, place = matches.double().cumsum(1), torch.arange(1, 121, dtype=torch.float64)
    before = torch.cat([torch.ones(240, 1, dtype=torch.float64), (found / place)[:, :-1]], dim=1)
    areas = ((found / place + before) / 2 * matches).sum(1) / matches.sum(1)
    (report,) = evaluate(tmp_path / "g.h5", "--protocol", "ctlg")
    released = report["released"]
    assert [released[f"rank_{k}"] for k in (1, 5, 10)] == [
        float(matches[:, :k].any(1).double().mean()) for k in (1, 5, 10)
    ]
    assert released["mean_ap"] == pytest.approx(float(areas.mean()), abs=1e-12)
