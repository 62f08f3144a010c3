"""truth.jsonl: what goes in comes out, and nothing else is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tbps_cli.errors import DataError
from tbps_cli.toypedes.plan import ToySize, plan_dataset
from tbps_cli.toypedes.truth import read_truths, to_line

TRUTHS = list(plan_dataset(ToySize(2, 0, 1, 2), 0))


def write_with(path: Path, change) -> Path:
    """Write three lines, the second changed."""
    lines = [to_line(truth) for truth in TRUTHS[:3]]
    record = json.loads(lines[1])
    lines[1] = json.dumps(change(record) or record) + "\n"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_a_truth_survives_the_file(tmp_path):
    path = tmp_path / "truth.jsonl"
    path.write_text("".join(map(to_line, TRUTHS)), encoding="utf-8")
    assert list(read_truths(path)) == TRUTHS


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda record: record.pop("view"), "lacks view"),
        (lambda record: record.update(mood="good"), "unknown mood"),
        (lambda record: record["person"].pop("hat"), "person lacks hat"),
        (lambda record: record["person"].update(skin="pale"), "skin should be a whole number, not 'pale'"),
        (lambda record: record["person"].update(height=None), "height should be a number"),
        (lambda record: record["person"].update(height=float("nan")), "height should be a number"),
        (lambda record: record["person"].update(upper=3), "upper should be a string, not 3"),
        (lambda record: record["view"].update(cast=[1.0, 1.0]), "cast should be a list of three numbers"),
        (lambda record: record["view"].update(facing="up"), "facing should be one of"),
        (lambda record: record["view"].update(jpeg_quality=True), "jpeg_quality should be a whole number"),
        (lambda record: record.update(person_id=0), "person_id should be a whole number from 1"),
        (lambda record: record.update(captions=[]), "captions should be a list of one or more"),
        (
            lambda record: record["captions"][0]["stated"].update(shoe_size="9"),
            "'shoe_size' is not an attribute",
        ),
        (lambda record: record["captions"][0].update(text=None), "text should be a string"),
        (lambda record: [record], "the record should be an object"),
    ],
)
def test_a_damaged_record_names_file_line_and_value(tmp_path, change, complaint):
    path = write_with(
        tmp_path / "truth.jsonl",
        lambda record: result if isinstance(result := change(record), list) else None,
    )
    with pytest.raises(DataError) as caught:
        list(read_truths(path))
    assert f"{path}:2: " in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("content", [b'{"file_path": "tr', b"\n", b"\xff\xfe\n"])
def test_a_broken_line_is_a_data_error(tmp_path, content):
    path = tmp_path / "truth.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"truth\.jsonl"):
        list(read_truths(path))


def test_a_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        list(read_truths(tmp_path / "truth.jsonl"))
