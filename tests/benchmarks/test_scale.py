"""docs/scale.md says what benchmarks/scale.py computes; what it computes is right where it can be said by hand."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tbps_cli.retrieval.faiss.parameters import choose_parameters

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scale() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield importlib.import_module("scale")


def costs_of_one(scale: ModuleType, **values: float) -> dict[str, object]:
    return {name: scale.Cost(values.get(name, 1.0), "given") for name in scale.UNITS}


def test_the_document_holds_the_tables_of_the_costs_beside_it(scale: ModuleType) -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    machine, costs = scale.load(ROOT / "docs" / "scale.json")
    assert scale.put(page, scale.render(machine, scale.make_tables(costs))) == page
    costs["exact_s_per_gb"] = scale.Cost(2 * costs["exact_s_per_gb"].value, "given")
    assert scale.put(page, scale.render(machine, scale.make_tables(costs))) != page


def test_every_unit_cost_is_recorded_and_no_other(scale: ModuleType) -> None:
    machine, costs = scale.load(ROOT / "docs" / "scale.json")
    assert costs.keys() == scale.UNITS.keys()
    assert {cost.source for cost in costs.values()} == {"measured", "assumed"}
    assert costs["gpu_images_per_s"].source == "assumed"
    assert machine


def test_times_and_sizes_are_those_computed_by_hand(scale: ModuleType) -> None:
    costs = costs_of_one(scale, exact_s_per_gb=0.5, disk_s_per_gb=3.0, memory_gb=2.0, name_bytes=40, cpu_images_per_s=5)
    sizes = scale.Scale(costs, 500)
    assert sizes.file_bytes(8192) == 8192 * (2 * 500 + 40 + 8 + 8 + 16) + 2 * 4
    assert sizes.embed_seconds(100, "cpu") == 20
    assert sizes.exact_seconds(1_000_000) == pytest.approx(0.5)
    assert sizes.exact_seconds(4_000_000) == pytest.approx(12.0)  # from the disk
    codes = choose_parameters("sq8", 1_000_000, 500)
    assert sizes.index_seconds(codes) == pytest.approx(0.5)
    lists = choose_parameters("ivf-sq8", 1_000_000, 500)
    assert sizes.index_seconds(lists) == pytest.approx(0.5 / 8 + 2048 * 500 * 4 / 1e9)
    assert sizes.build_seconds(lists) == pytest.approx(500 * 2048 * (1_000_000 + 10 * 81_920) / 1e12)
    words = choose_parameters("ivf-pq", 1_000_000, 500)
    more = sizes.build_seconds(words) - sizes.build_seconds(lists)
    assert more == pytest.approx(500 * 256 * (1_000_000 + 25 * 65_536) / 1e12)
    assert sizes.index_seconds(choose_parameters("hnsw", scale.FAISS_ROWS**2, 500)) == pytest.approx(2.0)
    assert scale.milvus_bytes(1000, 500) == 1000 * (4 * 500 + 4 * 2 * 16 + 4 + 8 + 4) + 8 * 500


def test_engines_follow_memory_and_patience(scale: ModuleType) -> None:
    def engine(**values: float) -> str:
        name, _, _ = scale.Scale(costs_of_one(scale, **values), 512).engine(1_000_000)
        return str(name)

    quick = {"exact_s_per_gb": 0.1, "hnsw_query_s": 0.001, "latency_s": 0.5}
    assert engine(**quick, memory_gb=64) == "exact over HDF5"
    assert engine(**quick | {"exact_s_per_gb": 1}, memory_gb=64) == "FAISS hnsw of float32, 32 links"
    assert engine(**quick | {"exact_s_per_gb": 1}, memory_gb=1) == "FAISS hnsw of int8, 32 links"
    assert engine(**quick, memory_gb=0.2) == "FAISS ivf-pq of 128 bytes"
    assert engine(**quick, memory_gb=0.01, node_gb=1) == "Milvus, 3 nodes"


def test_ones_own_costs_are_marked_and_wrong_ones_named(scale: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"gpu_images_per_s": 2500}))
    assert scale.given(path) == {"gpu_images_per_s": scale.Cost(2500, "given")}
    for wrong, told in (
        ({"gpu": 1}, "no cost 'gpu'"), ({"growth": 0}, "growth is a positive number"),
        ({"growth": True}, "not True"), ([1], "names and numbers"),
    ):  # fmt: skip
        path.write_text(json.dumps(wrong))
        with pytest.raises(SystemExit, match=told):
            scale.given(path)
    with pytest.raises(SystemExit, match="no JSON"):
        scale.given(tmp_path / "absent.json")


def test_everything_that_can_be_measured_is_measured(scale: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    unit_costs = importlib.import_module("unit_costs")
    monkeypatch.setattr(unit_costs, "FAISS_ROWS", 300)
    monkeypatch.setattr(unit_costs, "measure_encoder", lambda watch: iter([("cpu_images_per_s", 1.0), ("text_s", 1.0)]))
    watch = scale.Stopwatch(1)
    measured = dict(scale.measure(watch, 16, 600))
    assert measured.keys() == scale.UNITS.keys() - {
        "gpu_images_per_s", "name_bytes", "memory_gb", "latency_s", "node_gb", "growth",
    }  # fmt: skip
    assert all(value > 0 for value in measured.values())
    assert "CPU seconds of one thread" in watch.machine


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(1e-6, "under 0.01 ms"), (0.00123, "1.23 ms"), (0.9999, "1,000 ms"), (59, "59 s"), (90, "1.5 min"),
     (7200, "2 h"), (86400 * 100, "100 days"), (86400 * 3650, "10 years")],
)  # fmt: skip
def test_times_are_told_in_units_that_people_use(scale: ModuleType, seconds: float, told: str) -> None:
    assert scale.in_time(seconds) == told
