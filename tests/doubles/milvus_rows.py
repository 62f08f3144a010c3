"""Rows as a feature file has them, for tests and for the processes that they kill."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tbps_cli.retrieval.milvus.engine import CollectionInfo
from tbps_cli.retrieval.milvus.push import RowBlock

COUNT, DIMENSION = 300, 16
INFO = CollectionInfo("run/best", "ab" * 32, "", "/crops", DIMENSION)
TAGS = ['x"y\\', "é\nü", "or 1 == 1", "3", ""]
TIMES = ["2024-01-31", "", "2024-01-31 00:00:00", "2024-01-31T12:00", "2024-02-01 08:00:00.5"]


def draw(count: int = COUNT, seed: int = 0) -> RowBlock:
    """Unit rows in float16 with wild names, and three columns."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    numbers = np.arange(count)
    cameras = np.where(numbers % 7 == 0, np.nan, numbers % 5)
    tags = np.array([TAGS[number % len(TAGS)] for number in numbers], dtype=object)
    times = np.array([TIMES[number % len(TIMES)] for number in numbers], dtype=object)
    names = [f"crops/{number}'\"\n<b>.jpg" for number in numbers]
    columns = {"camera": cameras, "the [tag]": tags, "time": times}
    return RowBlock(0, names, rows.astype(np.float16), numbers // 4, columns)


def cut(block: RowBlock, size: int) -> Iterator[RowBlock]:
    """The same rows in smaller blocks."""
    for start in range(0, len(block.names), size):
        part = slice(start, start + size)
        columns = {name: values[part] for name, values in block.columns.items()}
        yield RowBlock(start, block.names[part], block.features[part], block.person_ids[part], columns)
