"""Searching: several galleries, images and sentences together, conditions, re-ranking, files of queries."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tbps_cli.assembly.models import load_encoder
from tbps_cli.features import FeatureWriter, open_features, select
from tbps_cli.retrieval.rerank import rerank_candidates
from tbps_cli.stages.embed.split import embed_captions
from tbps_cli.stages.search.queries import Query
from tbps_cli.stages.search.search import Hit, search, search_many
from tbps_cli.stages.train.train import train
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun, tiny_recipe

RED, BLUE = "woman in red coat", "man in blue jeans"


def names(hits: tuple[Hit, ...]) -> list[str]:
    return [hit.name for hit in hits]


def embed(tiny: TinyRun, *sentences: str) -> np.ndarray:
    encoder = load_encoder(tiny.run, torch.device("cpu"), image=False)
    ((_, rows),) = embed_captions(encoder.dual, encoder.tokenizer, sentences)
    return rows.numpy()


def read(gallery: Path) -> tuple[list[str], np.ndarray]:
    with open_features(gallery) as features:
        assert features.images is not None
        return list(features.images.names), features.images.read()


@pytest.fixture
def halves(tiny: TinyRun, tmp_path: Path) -> tuple[Path, Path]:
    """The tiny gallery, cut in two."""
    both = (tmp_path / "a.h5", tmp_path / "b.h5")
    for out, rows in zip(both, (np.arange(0, 48, 2), np.arange(1, 48, 2)), strict=True):
        select(tiny.gallery, rows, out)
    return both


@pytest.fixture
def cameras(tiny: TinyRun, tmp_path: Path) -> Path:
    """The tiny gallery with columns: 48 images, of cameras 0 to 3, every sixth unknown."""
    out = tmp_path / "cameras.h5"
    found, rows = read(tiny.gallery)
    with open_features(tiny.gallery) as features, FeatureWriter(out, features.info, features.dimension) as writer:
        camera = np.where(np.arange(48) % 6 == 5, np.nan, np.arange(48) % 4)
        tags = [["indoor", ""][row % 2] for row in range(48)]
        writer.add_images(found, [-1] * 48, rows, columns={"camera": camera, "tag": tags})
    return out


def test_several_galleries_are_searched_as_one(tiny: TinyRun, halves: tuple[Path, Path]) -> None:
    whole = search(RED, tiny.gallery, k=9)
    parted = search(RED, *halves, k=9)
    assert names(parted) == names(whole)
    assert [hit.score for hit in parted] == [hit.score for hit in whole]
    assert {hit.gallery for hit in parted} == {str(half) for half in halves}
    assert [hit.rank for hit in parted] == list(range(1, 10))


def test_galleries_of_two_checkpoints_are_not_mixed(tiny: TinyRun, tmp_path: Path) -> None:
    train(tiny_recipe("seed=5", "training.epochs=1"), tmp_path / "other", root=tiny.root, device="cpu")
    arguments = ["embed", "--checkpoint", tmp_path / "other", "--dataset", "toy-tiny", "--root", tiny.root]
    assert run_tbps(*arguments, "--out", tmp_path / "g.h5").exit_code == 0
    message = fail_tbps("search", RED, "--gallery", tiny.gallery, "--gallery", tmp_path / "g.h5")
    assert "cannot be compared" in message


def test_only_images_that_meet_all_conditions_are_found(tiny: TinyRun, cameras: Path) -> None:
    found, rows = read(cameras)
    scores = rows @ embed(tiny, RED)[0]
    asked = [row for row in range(48) if row % 6 != 5 and row % 4 >= 2 and row % 2 == 0]
    expected = sorted(asked, key=lambda row: -scores[row])[:5]
    assert names(search(RED, cameras, k=5, where=["camera>=2", "tag=indoor"])) == [found[row] for row in expected]
    assert len(search(RED, cameras, k=48, where=["camera="])) == 8
    assert search(RED, cameras, where=["camera=9"]) == ()
    assert "There are: camera, tag" in fail_tbps("search", RED, "--gallery", cameras, "--where", "colour=3")
    assert "none" in fail_tbps("search", RED, "--gallery", cameras, "--where", "camera=north")
    result = run_tbps("search", RED, "--gallery", cameras, "--where", "camera=9")
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")


def test_nothing_below_the_least_score_is_found(tiny: TinyRun) -> None:
    hits = search(RED, tiny.gallery, k=48)
    least = hits[10].score
    assert names(search(RED, tiny.gallery, k=48, min_score=least)) == names(hits)[:11]
    assert search(RED, tiny.gallery, min_score=1.1) == ()


def test_paraphrases_are_one_query(tiny: TinyRun) -> None:
    found, rows = read(tiny.gallery)
    mean = embed(tiny, RED, BLUE).mean(axis=0)
    order = np.argsort(-(rows @ mean), kind="stable")[:6]
    hits = search(Query((RED, BLUE)), tiny.gallery, k=6)
    assert names(hits) == [found[row] for row in order]
    assert hits[0].score == pytest.approx(rows[order[0]] @ mean / np.linalg.norm(mean), abs=1e-5)
    result = run_tbps("search", RED, "--also", BLUE, "--gallery", tiny.gallery, "-k", "6", "--json")
    assert [hit["name"] for hit in json.loads(result.stdout)["hits"]] == names(hits)


def test_an_image_finds_itself_and_shares_a_query_with_a_sentence(tiny: TinyRun) -> None:
    found, rows = read(tiny.gallery)
    image = search(RED, tiny.gallery, k=48)[20].image
    assert image is not None
    hits = search(Query((), image), tiny.gallery, k=3)
    assert hits[0].image == image
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    both = 0.25 * rows[found.index(hits[0].name)] + 0.75 * embed(tiny, RED)[0]
    order = np.argsort(-(rows @ both), kind="stable")[:5]
    result = run_tbps(
        "search", RED, "--image", image, "--image-weight", 0.25, "--gallery", tiny.gallery, "-k5", "--json"
    )
    assert [hit["name"] for hit in json.loads(result.stdout)["hits"]] == [found[row] for row in order]
    assert "no such image" in fail_tbps("search", "--image", "nowhere.jpg", "--gallery", tiny.gallery)


def test_re_ranking_is_that_of_the_candidates_whatever_the_galleries(tiny: TinyRun, halves: tuple[Path, Path]) -> None:
    found, rows = read(tiny.gallery)
    scores = rows @ embed(tiny, RED)[0]
    order = np.argsort(-scores, kind="stable")
    new = rerank_candidates(torch.from_numpy(scores[order]), torch.from_numpy(rows[order]))
    expected = [found[order[place]] for place in new.argsort(descending=True, stable=True)[:8].tolist()]
    assert names(search(RED, tiny.gallery, k=8, rerank=True)) == expected
    assert names(search(RED, *halves, k=8, rerank=True)) == expected
    assert expected != names(search(RED, tiny.gallery, k=8))


@pytest.mark.parametrize(("options", "said"), [([], "cosine similarity"), (["--rerank"], "share of agreement")])
def test_a_page_says_what_its_scores_are(options: list[str], said: str, tiny: TinyRun, tmp_path: Path) -> None:
    page, sheet = tmp_path / "hits.html", tmp_path / "hits.png"
    result = run_tbps("search", RED, "--gallery", tiny.gallery, *options, "--html", page, "--sheet", sheet)
    assert (result.exit_code, sheet.exists()) == (0, True)
    assert f"A score is a {said}" in page.read_text()


def test_a_file_of_queries_is_answered_line_by_line(tiny: TinyRun, tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    file.write_bytes(f"\ufeff{RED}\r\n\r\n{BLUE}\t{RED}\n  \n".encode())
    page = tmp_path / "hits.html"
    result = run_tbps("search", "--queries", file, "--gallery", tiny.gallery, "-k", "4", "--json", "--html", page)
    assert result.exit_code == 0, result.stderr
    assert "2 lines left out" in result.stderr
    searches = json.loads(result.stdout)["searches"]
    expected = search_many([RED, Query((BLUE, RED))], [tiny.gallery], k=4)
    assert [[hit["name"] for hit in one["hits"]] for one in searches] == [names(hits) for hits in expected]
    assert RED in page.read_text()
    shown = run_tbps("search", "--queries", file, "--gallery", tiny.gallery, "-k", "1").stdout.splitlines()
    assert shown[0] == RED
    assert len(shown) == 6


def test_a_bad_line_is_named_and_the_others_are_answered(tiny: TinyRun, tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    lines = f"{RED}\nFrau in rotem Mantel\n17\t{RED}\n\nxyzzy\t{BLUE}\n{BLUE}\nman in caf\xe9 blue\n"
    file.write_bytes(lines.encode("latin-1"))
    result = run_tbps("search", "--queries", file, "--gallery", tiny.gallery, "-k", "2", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [[hit["name"] for hit in one["hits"]] for one in told["searches"]] == [
        names(search(sentence, tiny.gallery, k=2)) for sentence in (RED, BLUE)
    ]
    assert [one["line"] for one in told["refused"]] == [2, 3, 5, 7]
    parted = "was read as a sentence of its own, since tabs part sentences about one person"
    for said in (
        "line 2: this model knows no word of the query 'Frau in rotem Mantel'",
        f"line 3: '17' {parted}",
        f"line 5: 'xyzzy' {parted}",
        "line 7: it is not UTF-8 text",
        "4 of 6 queries were not answered",
    ):
        assert said in result.stderr
    shown = run_tbps("search", "--queries", file, "--gallery", tiny.gallery, "-k", "1")
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (1, 6)


def test_a_file_of_bad_lines_alone_is_answered_by_their_names(tiny: TinyRun, tmp_path: Path) -> None:
    file, page = tmp_path / "people.txt", tmp_path / "hits.html"
    file.write_text("xyzzy\n17\n")
    result = run_tbps("search", "--queries", file, "--gallery", tiny.gallery, "--html", page)
    assert (result.exit_code, result.stdout, page.exists()) == (1, "", False)
    assert "line 1: " in result.stderr
    assert "line 2: " in result.stderr


@pytest.mark.parametrize("name", ["same", "relative", "link", "hard link"])
def test_a_gallery_that_is_named_twice_is_searched_once(
    name: str, tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = tmp_path / "g.h5"
    gallery.write_bytes(tiny.gallery.read_bytes())
    monkeypatch.chdir(tmp_path)
    again = {"same": str(gallery), "relative": "g.h5"}.get(name, "again.h5")
    if name == "link":
        os.symlink("g.h5", again)
    elif name == "hard link":
        os.link("g.h5", again)
    expected = search(RED, gallery, k=5)
    result = run_tbps("search", RED, "--gallery", gallery, "--gallery", again, "-k", "5", "--json")
    assert [hit["name"] for hit in json.loads(result.stdout)["hits"]] == names(expected)
    assert f"{again}: the same gallery as {gallery}, and searched once" in result.stderr


@pytest.mark.parametrize("sentence", [["woman", "in", "red", "coat"], [RED, "carrying a bag"], ["a", 'say "x"']])
def test_a_sentence_without_quotes_is_told_to_have_them(sentence: list[str], tiny: TinyRun) -> None:
    result = run_tbps("search", *sentence, "--gallery", tiny.gallery)
    assert (result.exit_code, result.stdout) == (2, "")
    whole = " ".join(sentence).replace('"', "'")
    assert f'put the sentence in quotes: tbps search "{whole}" --gallery {tiny.gallery}' in result.stderr


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"", "no query"), (b"\n \n", "no query"), (b"caf\xe9", "UTF-8")]
)
def test_a_file_without_queries_is_a_message(content: bytes | None, said: str, tiny: TinyRun, tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    if content is not None:
        file.write_bytes(content)
    assert said in fail_tbps("search", "--queries", file, "--gallery", tiny.gallery)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--also", RED],
        [RED, "--queries", "x"],
        ["--queries", "x", "--sheet", "y.png"],
        ["--image", "x", "--also", RED],
    ],
)
def test_a_search_that_asks_for_nothing_or_two_things_is_a_usage_error(arguments: list[str], tiny: TinyRun) -> None:
    result = run_tbps("search", *arguments, "--gallery", tiny.gallery)
    assert result.exit_code == 2


def test_an_index_is_used_and_agrees(tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    from tbps_cli.retrieval.faiss.index import FaissGallery
    from tbps_cli.stages.gallery.index import index_gallery

    gallery = tmp_path / "g.h5"
    gallery.write_bytes(tiny.gallery.read_bytes())
    index_gallery(gallery, kind="sq8", device="cpu")
    expected = search(RED, gallery, exact=True)
    asked: list[int] = []
    original = FaissGallery.search

    def counted(self: FaissGallery, *arguments: Any) -> Any:
        asked.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(FaissGallery, "search", counted)
    assert names(search(RED, gallery)) == names(expected)
    assert asked == [1]
    search(RED, gallery, exact=True)
    assert asked == [1]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "faiss", None)
        message = fail_tbps("search", RED, "--gallery", gallery)
        assert "tbps-cli[faiss]" in message
        assert "--exact" in message
    select(gallery, np.arange(40), gallery, overwrite=True)
    assert "tbps gallery index" in fail_tbps("search", RED, "--gallery", gallery)
    assert run_tbps("search", RED, "--gallery", gallery, "--exact").exit_code == 0


def test_evaluation_and_search_rank_alike(tiny: TinyRun, tmp_path: Path) -> None:
    table = tmp_path / "queries.csv"
    assert run_tbps("evaluate", tiny.gallery, "--per-query", table).exit_code == 0
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = search_many([line["caption"] for line in lines], [tiny.gallery], k=48)
    people = [[hit.person_id for hit in hits] for hits in found]
    first = [ranked.index(int(line["person_id"])) + 1 for ranked, line in zip(people, lines, strict=True)]
    assert first == [int(line["first_rank"]) for line in lines]


WILD = ["a\nb.png", "<b>bold.png", "\"quoted'.png", "[red]markup.png", "tab\tand\x1b[31m.png"]


def test_wild_names_are_found_and_shown_as_they_are(tiny: TinyRun, tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    for number, name in enumerate(WILD):
        Image.new("RGB", (10, 20), (number * 40, 0, 0)).save(folder / name)
    Image.new("RGB", (10, 20)).save(os.fsencode(folder) + b"/\xff.png", format="PNG")
    gallery, page = tmp_path / "g.h5", tmp_path / "hits.html"
    embedded = run_tbps("embed", "--checkpoint", tiny.run, "--images", folder, "--out", gallery)
    assert "not UTF-8" in embedded.stderr
    result = run_tbps("search", RED, "--gallery", gallery, "--html", page)
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1 + len(WILD))
    assert "\x1b" not in result.stdout
    hits = json.loads(run_tbps("search", RED, "--gallery", gallery, "--json").stdout)["hits"]
    assert {hit["name"] for hit in hits} == set(WILD)
    assert all(hit["image"] is not None for hit in hits)
    assert "<b>" not in page.read_text()
