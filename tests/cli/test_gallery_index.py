"""`tbps gallery index`: an index that finds what exact search finds, and everything that can be wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tbps_cli.cli import gallery_index
from tbps_cli.errors import FeatureError, FeatureMismatchError, QueryError
from tbps_cli.features import FeatureInfo, FeatureWriter, open_features
from tbps_cli.retrieval.faiss.header import KINDS, RECALL_POOR, MeasuredRecall, read_header
from tbps_cli.retrieval.faiss.index import FaissGallery
from tbps_cli.retrieval.gallery import ExactGallery
from tbps_cli.retrieval.mapped import MappedGallery
from tbps_cli.stages.gallery import index_queries
from tbps_cli.stages.gallery.index_queries import describe_people
from tbps_cli.stages.search.index_file import explain_poor, index_path, open_index_of
from tbps_cli.stages.search.queries import read_lines
from tbps_cli.stages.search.query_encoder import load_query_encoder
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun

pytest.importorskip("faiss")

INFO = FeatureInfo(checkpoint="/nowhere", checkpoint_sha256="0" * 64, recipe="", dataset="", split="", root="/")


def draw_gallery(path: Path, count: int, *, dimension: int = 16, captions: int = 0, seed: int = 0) -> Path:
    """A gallery of drawn rows; its captions lie beside them."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((count, dimension))
    with FeatureWriter(path, INFO, dimension) as writer:
        writer.add_images([f"{row}.jpg" for row in range(count)], [-1] * count, unit(rows))
        if captions:
            near = rows[:captions] + random.standard_normal((captions, dimension))
            writer.add_captions(["caption"] * captions, [-1] * captions, [-1] * captions, unit(near))
    return path


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def index_json(*arguments: object) -> dict[str, Any]:
    result = run_tbps("gallery", "index", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    values: dict[str, Any] = json.loads(result.stdout)
    return values


def copy_gallery(tiny: TinyRun, folder: Path, *, captions: bool = True) -> Path:
    gallery = folder / "g.h5"
    shutil.copy(tiny.gallery, gallery)
    if not captions:
        with h5py.File(gallery, "r+") as file:
            del file["captions"]
    return gallery


def test_the_command_offers_every_kind() -> None:
    assert gallery_index.KINDS == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_agrees_with_every_exact_search(kind: str, tmp_path: Path) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=30)
    found = index_json(gallery, "--kind", kind, "--recall", "1")
    assert found["recall"] == {"value": 1.0, "k": 10, "queries": 30, "is_rescored": True}
    with open_features(gallery) as features:
        assert features.images is not None
        assert features.captions is not None
        matrix = features.images.mapped()
        assert matrix is not None
        queries = torch.from_numpy(features.captions.read())
        opened = open_index_of(gallery, features)
        assert opened is not None
        truth = ExactGallery(features.images.blocks, 300).search(queries, 10)
        for other in (opened[0], MappedGallery(matrix)):
            hits = other.search(queries, 10)
            assert torch.equal(hits.rows, truth.rows)
            assert torch.equal(hits.scores, truth.scores)


def test_recall_is_measured_with_captions_stored_and_shown(tiny: TinyRun, tmp_path: Path) -> None:
    gallery = copy_gallery(tiny, tmp_path)
    result = run_tbps("gallery", "index", gallery, "--checkpoint", "/nowhere")
    assert result.exit_code == 0, result.stderr
    assert str(index_path(gallery)) in "".join(result.stdout.split())
    assert "96 captions of the gallery" in " ".join(result.stdout.split())
    header = read_header(index_path(gallery))
    assert header.recall is not None
    assert header.recall.queries == 96
    assert f"{header.recall.value:.1%} of exact search" in result.stdout
    assert sorted(os.listdir(tmp_path)) == ["g.h5", "g.h5.faiss-index"]


def test_without_captions_people_are_described_to_the_checkpoint(tiny: TinyRun, tmp_path: Path) -> None:
    gallery = copy_gallery(tiny, tmp_path, captions=False)
    found = index_json(gallery, "--kind", "sq8")
    assert found["queries"] == "generated"
    assert found["recall"]["queries"] > 100
    message = fail_tbps("gallery", "index", gallery, "--overwrite", "--checkpoint", tmp_path / "gone")
    assert str(tmp_path / "gone") in message


def test_descriptions_hang_on_the_seed_and_every_word_is_known(tiny: TinyRun) -> None:
    with open_features(tiny.gallery) as features:
        tokenizer = load_query_encoder(features.info, "", None, "cpu").tokenizer
    drawn = [describe_people(tokenizer, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == len(drawn[0]) > 100
    assert {word for text in drawn[0] for word in tokenizer.check_query(text)} == set()


def test_a_model_of_other_words_asks_for_descriptions(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_features(tiny.gallery) as features:
        tokenizer = load_query_encoder(features.info, "", None, "cpu").tokenizer
    monkeypatch.setattr(tokenizer, "ids", {"女": 2})
    with pytest.raises(QueryError, match="--queries FILE"):
        describe_people(tokenizer, np.random.default_rng(0))


def test_descriptions_of_a_file_are_used_and_empty_lines_are_none(tiny: TinyRun, tmp_path: Path) -> None:
    gallery, queries = copy_gallery(tiny, tmp_path), tmp_path / "queries.txt"
    queries.write_text("\ufeffwoman in red coat\r\n\n   \nman in black pants\n", encoding="utf-8")
    assert [line.meant for line in read_lines(queries) if line.meant] == ["woman in red coat", "man in black pants"]
    found = index_json(gallery, "--queries", queries)
    assert (found["queries"], found["recall"]["queries"]) == ("file", 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no query"), (b" \n\n", "no query"), (b"\xff\xfe\xff", "UTF-8"), (b"qqq\n", "no word")],
)
def test_a_file_without_descriptions_is_a_message(content: bytes, said: str, tiny: TinyRun, tmp_path: Path) -> None:
    gallery, queries = copy_gallery(tiny, tmp_path), tmp_path / "queries.txt"
    queries.write_bytes(content)
    assert said in fail_tbps("gallery", "index", gallery, "--queries", queries)
    assert "gone.txt" in fail_tbps("gallery", "index", gallery, "--queries", tmp_path / "gone.txt")


def test_of_many_captions_some_are_drawn_from_everywhere(tmp_path: Path) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=300)
    with open_features(gallery) as features:
        assert features.captions is not None
        every = features.captions.read()
        some = index_queries._read_some(features.captions, np.random.default_rng(0)).numpy()
    places = [int(np.flatnonzero((every == row).all(axis=1))[0]) for row in some]
    assert len(set(places)) == index_queries.MOST
    assert min(places) < 20
    assert max(places) > 280


def test_a_gallery_that_changed_no_longer_fits(tmp_path: Path) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=5)
    index_json(gallery)
    renamed = tmp_path / "other.h5"
    gallery.rename(renamed)
    index_path(gallery).rename(index_path(renamed))
    with open_features(renamed) as features:
        assert open_index_of(renamed, features) is not None
    renamed.unlink()
    with open_features(draw_gallery(renamed, 300, seed=1)) as features:
        with pytest.raises(FeatureMismatchError, match=r"changed since.*--overwrite"):
            open_index_of(renamed, features)
        index_path(renamed).write_bytes(b"no index")
        with pytest.raises(FeatureError, match="no index"):
            open_index_of(renamed, features)
        index_path(renamed).unlink()
        assert open_index_of(renamed, features) is None


def test_the_origin_is_known_without_reading_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=5)
    index_json(gallery)
    with open_features(gallery) as features:
        assert features.images is not None
        monkeypatch.setattr(features.images, "blocks", lambda *_: pytest.fail("the rows were read"))
        assert open_index_of(gallery, features) is not None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("captions only", "no images"),
        ("nan", "row 3 has values that are not finite"),
        ("text", "no HDF5 file"),
        ("absent", "no such file"),
        ("format 1", "is of format 1"),
    ],
)
def test_a_gallery_that_cannot_be_indexed_is_a_message(damage: str, said: str, tmp_path: Path) -> None:
    gallery = tmp_path / "g.h5"
    if damage == "text":
        gallery.write_text("this is no HDF5")
    elif damage != "absent":
        draw_gallery(gallery, 300, captions=5)
        with h5py.File(gallery, "r+") as file:
            if damage == "captions only":
                del file["images"]
            elif damage == "nan":
                file["images/features"][3, 1] = np.nan
            else:
                file.attrs["format_version"] = 1
                for table in ("images", "captions"):
                    names = file[table]["name_ends"].shape[0] * ["x"]
                    file[table].create_dataset("names", data=names, dtype=h5py.string_dtype("utf-8"))
    message = fail_tbps("gallery", "index", gallery)
    assert str(gallery) in message
    assert said in message
    assert not index_path(gallery).exists()


def test_too_few_rows_and_too_little_memory_say_what_to_do(tmp_path: Path) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 100, captions=5)
    assert "100 rows are too few" in fail_tbps("gallery", "index", gallery, "--kind", "ivf-pq")
    assert "Allow more memory" in fail_tbps("gallery", "index", gallery, "--memory", "1kB")
    assert index_json(gallery, "--memory", "8kB")["parameters"]["kind"] == "ivf-sq8"


@pytest.mark.parametrize("size", ["2", "0GB", "-1GB", "2XB", "iB", "2iB", "nanGB", "", "1e9B"])
def test_a_size_that_is_none_is_a_usage_error(size: str, tmp_path: Path) -> None:
    result = run_tbps("gallery", "index", tmp_path / "g.h5", "--memory", size)
    assert (result.exit_code, "write 2GB or 800MB" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 MiB", 3 * 2**19), ("800kB", 800_000), ("7B", 7), ("3TB", 3 * 10**12)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert gallery_index.Size().convert(text, None, None) == size


def test_an_index_is_replaced_only_when_that_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=5)
    index_json(gallery, "--kind", "sq8")
    content = index_path(gallery).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("tbps_cli.stages.gallery.index.build_index", lambda *_: pytest.fail("it was built in vain"))
        assert "--overwrite" in fail_tbps("gallery", "index", gallery, "--kind", "hnsw")
    assert index_path(gallery).read_bytes() == content
    index_json(gallery, "--kind", "hnsw", "--overwrite")
    assert read_header(index_path(gallery)).parameters.kind == "hnsw"


@pytest.mark.parametrize(("hindrance", "said"), [("folder", "not a regular file"), ("read-only", "read-only")])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_built(
    hindrance: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=5)
    monkeypatch.setattr("tbps_cli.stages.gallery.index.build_index", lambda *_: pytest.fail("it was built in vain"))
    if hindrance == "folder":
        index_path(gallery).mkdir()
    else:
        monkeypatch.setattr(os, "access", lambda _, mode, **__: not mode & os.W_OK)
    assert said in fail_tbps("gallery", "index", gallery, "--overwrite")


def test_a_full_disk_leaves_the_old_index_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=5)
    index_json(gallery, "--kind", "sq8")
    content = index_path(gallery).read_bytes()

    def fail(_: FaissGallery, file: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FaissGallery, "write", fail)
    assert "No space left" in fail_tbps("gallery", "index", gallery, "--overwrite")
    assert index_path(gallery).read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["g.h5", "g.h5.faiss-index"]


def test_without_faiss_the_extra_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    message = fail_tbps("gallery", "index", draw_gallery(tmp_path / "g.h5", 300))
    assert "pip install --upgrade 'tbps-cli[faiss]'" in message


@pytest.mark.parametrize(("value", "is_said"), [(RECALL_POOR - 0.001, True), (RECALL_POOR, False), (None, False)])
def test_an_index_that_misses_many_is_warned_of(value: float | None, is_said: bool) -> None:
    recall = None if value is None else MeasuredRecall(value, 10, 7, is_rescored=True)
    said = explain_poor(Path("g.h5.faiss-index"), recall)
    assert (said is not None) == is_said
    assert not is_said or ("g.h5.faiss-index" in str(said) and "tbps gallery index" in str(said))


def test_the_command_warns_of_poor_recall_and_of_less_than_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = draw_gallery(tmp_path / "g.h5", 300, captions=5)
    search: Callable[..., Any] = FaissGallery.search

    def miss(self: FaissGallery, queries: torch.Tensor, k: int, *rest: Any) -> Any:
        hits = search(self, queries, k, *rest)
        hits.rows[:, :missed] = -1
        return hits

    monkeypatch.setattr(FaissGallery, "search", miss)
    for missed, said in ((5, "finds only 50.0%"), (1, "90.0%, and 98.0% were asked for"), (0, "")):  # noqa: B007
        result = run_tbps("gallery", "index", gallery, "--kind", "sq8", "--overwrite")
        assert result.exit_code == 0
        assert said in " ".join(result.stderr.split())
        assert bool(said) == bool(result.stderr)
