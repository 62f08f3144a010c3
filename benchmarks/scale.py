"""What galleries of a thousand to a billion crops cost, computed from what a unit of each work costs.

    python benchmarks/scale.py                          tables, from the unit costs of docs/scale.json
    python benchmarks/scale.py --costs costs.json       with your own instead: {"gpu_images_per_s": 2500, ...}
    python benchmarks/scale.py --measure                with those that can be measured on this machine
    python benchmarks/scale.py --measure --save         the same, kept in docs/scale.json and docs/scale.md

A unit cost is measured, assumed or given, and the tables say which. Everything else is computed: `Scale` holds all
formulas, and the memory of an index is what `tbps gallery index` would choose. Measuring wants a quiet
machine; without FAISS the costs of indexes stay what they were.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from unit_costs import (
    DIMENSION,
    FAISS_ROWS,
    GB,
    Stopwatch,
    codes_read,
    measure,
    products_with_centres,
    products_with_words,
)

from tbps_cli.errors import FeatureError
from tbps_cli.features.layout import CHECKSUM_ROWS, HASH_BYTES
from tbps_cli.retrieval.faiss.header import KINDS, IndexParameters
from tbps_cli.retrieval.faiss.parameters import choose_parameters
from tbps_cli.retrieval.milvus.engine import INDEX_PARAMETERS

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- tables of benchmarks/scale.py -->\n", "<!-- end of tables -->\n"
SIZES = tuple(10**power for power in range(3, 10))
NODE_SHARE = 0.75  # of the memory of a Milvus node; the rest is growing segments and the system

UNITS = {
    "cpu_images_per_s": "images/s embedded on the CPU: CLIP ViT-B/16, 384 x 128, float32, decoding not counted",
    "gpu_images_per_s": "images/s embedded on one GPU",
    "text_s": "s to embed one sentence on the CPU: CLIP ViT-B/16, float32",
    "write_s_per_million_rows": "s to write 1,000,000 rows of a feature file, synced",
    "disk_s_per_gb": "s to read 1 GB that is not in memory",
    "read_s_per_gb": "s to read 1 GB of a matrix in memory",
    "exact_s_per_gb": "s to search 1 GB of float16 rows exactly, one query",
    "exact_64_s_per_gb": "s to search 1 GB of float16 rows exactly, 64 queries",
    "hnsw_query_s": f"s a query of hnsw over {FAISS_ROWS:,} rows",
    "hnsw_build_s": f"s to build hnsw of {FAISS_ROWS:,} rows",
    "sq8_s_per_gb": "s a query for 1 GB of sq8 codes",
    "sq8_build_s_per_million_rows": "s to build sq8 of 1,000,000 rows",
    "ivf-sq8_s_per_gb": "s a query for 1 GB of codes in the lists that are read",
    "ivf-pq_s_per_gb": "s a query for 1 GB of codes in the lists that are read",
    "centres_s_per_tera": "s for 10^12 products with centres while an IVF index is built",
    "words_s_per_tera": "s for 10^12 products with words of codes while ivf-pq is built",
    "name_bytes": "bytes of an image's name",
    "memory_gb": "GB of memory that a gallery may take on one machine",
    "latency_s": "s that a query may take, without its sentence",
    "node_gb": "GB of memory of one Milvus node",
    "growth": "share of the gallery that is added at once",
}


@dataclass(frozen=True)
class Cost:
    """What a unit of work costs, or what is wanted of a machine."""

    value: float
    source: str  # "measured", "assumed" or "given"


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Scale:
    """All formulas: seconds and bytes of galleries of any size, from unit costs."""

    def __init__(self, costs: dict[str, Cost], dimension: int = DIMENSION) -> None:
        self.cost = {name: cost.value for name, cost in costs.items()}
        self.dimension = dimension

    def matrix_bytes(self, count: int) -> float:
        return 2 * self.dimension * count

    def file_bytes(self, count: int) -> float:
        """Of format 2: rows, their checksums, names and where they end, people, hashes."""
        beside = count * (self.cost["name_bytes"] + 8 + 8 + HASH_BYTES) + 4 * math.ceil(count / CHECKSUM_ROWS)
        return self.matrix_bytes(count) + beside

    def write_seconds(self, count: int) -> float:
        return self.cost["write_s_per_million_rows"] * count / 1e6

    def embed_seconds(self, count: float, device: str) -> float:
        return count / self.cost[f"{device}_images_per_s"]

    def exact_seconds(self, count: int, queries: int = 1) -> float:
        """While the rows are in memory; where they cannot be, the disk is waited for as well."""
        gigabytes = self.matrix_bytes(count) / GB
        seconds = gigabytes * self.cost["exact_s_per_gb" if queries == 1 else f"exact_{queries}_s_per_gb"]
        return seconds if gigabytes <= self.cost["memory_gb"] else max(seconds, self.cost["disk_s_per_gb"] * gigabytes)

    def index_seconds(self, index: IndexParameters) -> float:
        """One query. hnsw's walk grows with log N; the others read codes, and IVF all its centres before."""
        if index.kind == "hnsw":
            return self.cost["hnsw_query_s"] * math.log2(index.count) / math.log2(FAISS_ROWS)
        centres = self.cost["read_s_per_gb"] * index.lists * index.dimension * 4 / GB
        return centres + self.cost[f"{index.kind}_s_per_gb"] * codes_read(index) / GB

    def build_seconds(self, index: IndexParameters) -> float:
        if index.kind == "hnsw":
            size = index.count * math.log2(index.count) / (FAISS_ROWS * math.log2(FAISS_ROWS))
            return self.cost["hnsw_build_s"] * size
        if index.kind == "sq8":
            return self.cost["sq8_build_s_per_million_rows"] * index.count / 1e6
        centres = self.cost["centres_s_per_tera"] * products_with_centres(index)
        return (centres + self.cost["words_s_per_tera"] * products_with_words(index)) / 1e12

    def index(self, kind: str, count: int, memory_gb: float | None = None) -> IndexParameters | None:
        """What would be chosen; None where it does not fit into the memory."""
        try:
            return choose_parameters(kind, count, self.dimension, None if memory_gb is None else int(memory_gb * GB))
        except FeatureError:
            return None

    def engine(self, count: int) -> tuple[str, float, float | None]:
        """The first engine that fits into the memory and answers in time: name, bytes, seconds of a query."""
        memory, latency = self.cost["memory_gb"], self.cost["latency_s"]
        if self.matrix_bytes(count) <= memory * GB and self.exact_seconds(count) <= latency:
            return "exact over HDF5", self.matrix_bytes(count), self.exact_seconds(count)
        for kind in KINDS:
            index = self.index(kind, count, memory)
            if index is not None and self.index_seconds(index) <= latency:
                return f"FAISS {describe(index)}", index.memory_bytes, self.index_seconds(index)
        size = milvus_bytes(count, self.dimension)
        nodes = math.ceil(size / (NODE_SHARE * self.cost["node_gb"] * GB))
        return f"Milvus, {nodes} nodes" if nodes > 1 else "Milvus, 1 node", size, None


def milvus_bytes(count: int, dimension: int) -> int:
    """The index that `tbps gallery push` asks a server for, which keeps float32."""
    neighbours = INDEX_PARAMETERS["HNSW"]["M"]
    return IndexParameters("hnsw", count, dimension, "float32", 4 * dimension, neighbours=neighbours).memory_bytes


def make_tables(costs: dict[str, Cost], dimension: int = DIMENSION) -> list[Table]:
    scale = Scale(costs, dimension)
    growth = scale.cost["growth"]
    memory = scale.cost["memory_gb"]

    def each(title: str, columns: Sequence[str], row: Callable[[int], Sequence[str]]) -> Table:
        return Table(title, ("crops", *columns), tuple((f"{count:,}", *row(count)) for count in SIZES))

    def of_kinds(show: Callable[[IndexParameters], str], count: int, memory_gb: float | None = None) -> list[str]:
        found = [scale.index(kind, count, memory_gb) for kind in KINDS]
        return ["-" if index is None else show(index) for index in found]

    def engine(count: int) -> Sequence[str]:
        name, size, query = scale.engine(count)
        return name, in_bytes(size), "measure it there" if query is None else in_time(query)

    def grow(count: int) -> Sequence[str]:
        added = growth * count
        embedded = [in_time(scale.embed_seconds(added, device)) for device in ("cpu", "gpu")]
        return *embedded, in_time(scale.write_seconds(count))

    return [
        Table(
            "Unit costs", ("name", "value", "", "what"),
            tuple((name, f"{costs[name].value:.4g}", costs[name].source, what) for name, what in UNITS.items()),
        ),
        each("Which engine", ("engine", "memory", "one query"), engine),
        each(
            "Storage and embedding", ("feature file", "writing it", "one CPU", "one GPU"),
            lambda count: (
                in_bytes(scale.file_bytes(count)), in_time(scale.write_seconds(count)),
                in_time(scale.embed_seconds(count, "cpu")), in_time(scale.embed_seconds(count, "gpu")),
            ),
        ),
        each(
            "Index memory, best parameters", (*KINDS, "Milvus"),
            lambda count: (
                *of_kinds(lambda index: in_bytes(index.memory_bytes), count),
                in_bytes(milvus_bytes(count, dimension)),
            ),
        ),
        each(
            f"Index memory, at most {memory:g} GB", KINDS,
            lambda count: of_kinds(lambda index: f"{in_bytes(index.memory_bytes)} ({describe(index)})", count, memory),
        ),
        each(
            "One query, its sentence not counted", ("exact", "exact, 64 at once", *KINDS),
            lambda count: (
                in_time(scale.exact_seconds(count)), in_time(scale.exact_seconds(count, 64)),
                *of_kinds(lambda index: in_time(scale.index_seconds(index)), count, memory),
            ),
        ),
        each(
            "Building an index", KINDS,
            lambda count: of_kinds(lambda index: in_time(scale.build_seconds(index)), count, memory),
        ),
        each(f"Growing by {growth:.0%}, or dropping", ("embedding, CPU", "embedding, GPU", "writing the file"), grow),
    ]  # fmt: skip


def describe(index: IndexParameters) -> str:
    if index.kind == "hnsw":
        return f"hnsw of {index.storage}, {index.neighbours} links"
    return f"{index.kind} of {index.row_bytes} bytes" if index.storage == "pq" else index.kind


def in_bytes(size: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{three_digits(size / unit)} {name}"
    return f"{three_digits(size / 1e3)} kB"


def in_time(seconds: float) -> str:
    for unit, name in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit:
            return f"{three_digits(seconds / unit)} {name}"
    return f"{three_digits(seconds * 1e3)} ms" if seconds >= 1e-5 else "under 0.01 ms"


def three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def render(machine: str, tables: Sequence[Table]) -> str:
    """Markdown: the machine and all tables."""
    parts = [f"Measured on: {machine}\n"]
    for table in tables:
        lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
        parts.append(f"### {table.title}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines))
    return "\n".join(parts)


def put(page: str, text: str) -> str:
    """The page with other tables between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def load(path: Path) -> tuple[str, dict[str, Cost]]:
    held = json.loads(path.read_text())
    return held["machine"], {name: Cost(**cost) for name, cost in held["costs"].items()}


def given(path: Path) -> dict[str, Cost]:
    """One's own costs: an object of some names and numbers."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} is no JSON file that can be read: {error}") from error
    if not isinstance(values, dict):
        raise SystemExit(f"{path} is no object of names and numbers; names are {', '.join(UNITS)}")
    for name, value in values.items():
        if name not in UNITS:
            raise SystemExit(f"{path}: there is no cost {name!r}; names are {', '.join(UNITS)}")
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise SystemExit(f"{path}: {name} is a positive number, not {value!r}")
    return {name: Cost(value, "given") for name, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, help="JSON of unit costs, by the names of the first table")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--dimension", type=int, default=DIMENSION)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", action="store_true", help="into docs/scale.json and docs/scale.md")
    arguments = parser.parse_args()
    if arguments.save and arguments.dimension != DIMENSION:
        parser.error(f"docs/scale.md is about {DIMENSION} dimensions")
    machine, costs = load(DOCS / "scale.json")
    if arguments.measure:
        watch = Stopwatch()
        for name, value in measure(watch, arguments.dimension):
            print(f"{name} {value:.4g}", file=sys.stderr, flush=True)
            costs[name] = Cost(value, "measured")
        machine = watch.machine
    if arguments.costs:
        costs |= given(arguments.costs)
    tables = make_tables(costs, arguments.dimension)
    if arguments.save:
        held = {"machine": machine, "costs": {name: asdict(cost) for name, cost in costs.items()}}
        (DOCS / "scale.json").write_text(json.dumps(held, indent=1) + "\n")
        page = DOCS / "scale.md"
        page.write_text(put(page.read_text(), render(machine, tables)))
    if arguments.json:
        print(json.dumps({"machine": machine, "tables": [asdict(table) for table in tables]}, indent=1))
    else:
        print(render(machine, tables))


if __name__ == "__main__":
    main()
