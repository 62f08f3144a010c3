"""Every quirk of the published data sets, in small copies of them: whole ones, and each broken on purpose."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.data.annotations import Reading, read_annotations
from tbps_cli.data.checks.check import CheckReport, check_dataset
from tbps_cli.data.checks.findings import MOST_EXAMPLES, SEVERITIES, Finding, FindingName
from tbps_cli.data.checks.published import PUBLISHED, Published
from tbps_cli.data.records import PersonRecord
from tests.doubles.copies import BREAKS, NATURAL, write_copy

ERRORS = {
    "unreadable-records", "counts", "wrong-rstp-split", "foreign-ids", "people-in-two-splits", "images-in-two-splits",
    "repeated-images", "missing-folders", "missing-images", "needless-folders",
    "unreadable-images",
}  # fmt: skip
WARNINGS = {"identical-files", "identical-files-of-two-people", "no-captions"}
# What else is true of a copy that is broken in one way.
ALSO = {"people-in-two-splits": {"counts", "foreign-ids"}, "no-captions": {"counts"}, "no-val": {"counts"}}
# Breaks that make no sense of a data set, or that it is published with.
SENSELESS = {
    "cuhk": {"wrong-rstp-split"},
    "icfg": {"wrong-rstp-split", "odd-caption-counts"},
    "rstp": set(),
    "ufine": {"wrong-rstp-split", "foreign-ids"},
}
CASES = [
    (dataset, name)
    for dataset in NATURAL
    for name in BREAKS
    if name not in SENSELESS[dataset] | NATURAL[dataset]
]  # fmt: skip


def check(dataset: str, folder: Path, published: Published | None, **options: Any) -> CheckReport:
    reading = read_annotations(dataset, folder)
    steps: list[int] = []
    report = check_dataset(dataset, folder, reading, published=published, advance=steps.append, **options)
    assert sum(steps) == len(reading.records)
    assert json.loads(json.dumps(report.as_dict()))["can_run"] == report.can_run
    severities = [SEVERITIES.index(finding.severity) for finding in report.findings]
    assert severities == sorted(severities), "the worst first"
    for finding in report.findings:
        assert finding.count > 0
        assert finding.next_step.endswith(".")
        assert len(finding.examples) <= min(MOST_EXAMPLES, finding.count) or finding.name == "shared-captions"
    return report


def names_of(report: CheckReport) -> set[str]:
    names = Counter(finding.name for finding in report.findings)
    assert set(names.values()) <= {1}, names
    return set(names)


def finding_of(report: CheckReport, name: str) -> Finding:
    return next(finding for finding in report.findings if finding.name == name)


@pytest.mark.parametrize(
    ("dataset", "options"),
    [*((dataset, {}) for dataset in NATURAL), ("rstp", {"as_mapping": True}), ("rstp", {"with_splits": False})],
)
def test_a_whole_copy_is_green_and_its_quirks_are_noted(dataset: str, options: dict[str, bool], tmp_path: Path) -> None:
    report = check(dataset, *write_copy(tmp_path, dataset, **options))
    assert names_of(report) == NATURAL[dataset]
    assert report.can_run
    assert {finding.severity for finding in report.findings} == {"note"}
    for figures in report.splits:
        if figures.published is not None:
            assert (figures.images, figures.captions, figures.people) == (
                figures.published.images, figures.published.captions, figures.published.people
            )  # fmt: skip


@pytest.mark.parametrize(("dataset", "name"), CASES)
def test_what_is_broken_is_reported_by_its_name_and_nothing_else_is(dataset: str, name: str, tmp_path: Path) -> None:
    report = check(dataset, *write_copy(tmp_path, dataset, break_=name))
    also = ALSO.get(name, set())
    if dataset == "ufine" and name == "people-in-two-splits":
        also = set()  # counts of its splits are not published
    assert names_of(report) - NATURAL[dataset] == {name} | also
    finding = finding_of(report, name)
    assert finding.severity == ("error" if name in ERRORS else "warning" if name in WARNINGS else "note")
    assert report.can_run == ((also | {name}).isdisjoint(ERRORS))
    assert finding.examples or name in ("no-val", "wrong-rstp-split")


def test_every_name_of_a_finding_is_tried() -> None:
    assert {name for _, name in CASES} | {"caption-all"} == set(get_args(FindingName))
    assert set(get_args(FindingName)) >= ERRORS | WARNINGS


@pytest.mark.parametrize("name", BREAKS)
def test_no_image_is_opened_unless_asked_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.open", None)
    seen_in_files = {"unreadable-images", "identical-files", "identical-files-of-two-people", "greyscale-images"}
    dataset = "rstp"
    report = check(dataset, *write_copy(tmp_path, dataset, break_=name), open_images=False)
    assert (name in names_of(report)) == (name not in seen_in_files)


def test_unknown_counts_are_compared_with_nothing(tmp_path: Path) -> None:
    folder, _ = write_copy(tmp_path, "cuhk", break_="counts")
    report = check("cuhk", folder, None)
    assert report.can_run
    assert names_of(report) == NATURAL["cuhk"] - {"odd-caption-counts"}
    assert {figures.published for figures in report.splits} == {None}


def test_counts_that_differ_are_shown_beside_the_published(tmp_path: Path) -> None:
    folder, published = write_copy(tmp_path, "rstp", break_="counts")
    there = published.splits["train"]
    report = check("rstp", folder, published)
    assert finding_of(report, "counts").examples == (
        f"train: {there.images - 1} images (published {there.images}), "
        f"{there.captions - 2} captions (published {there.captions})",
    )
    shown = {figures["split"]: figures for figures in report.as_dict()["splits"]}
    assert shown["train"]["images"] == there.images - 1
    assert shown["train"]["published"] == {
        "images": there.images,
        "captions": there.captions,
        "people": there.people,
        "person_ids": {"first": 0, "last": 3700},
    }


def test_an_empty_split_and_an_invented_one_are_counted(tmp_path: Path) -> None:
    folder, published = write_copy(tmp_path, "icfg")
    reading = read_annotations("icfg", folder)
    records = [
        PersonRecord(record.folder, record.name, record.captions, record.person_id, "val")
        for record in reading.records
        if record.split == "test"
    ]
    reading = Reading(reading.annotations, [*records, *(r for r in reading.records if r.split == "train")], [])
    report = check_dataset("icfg", folder, reading, published=published, advance=lambda steps: None)
    images = published.splits["test"].images
    assert [(figures.split, figures.images) for figures in report.splits] == [
        ("train", 9),
        ("val", images),
        ("test", 0),
    ]
    assert finding_of(report, "counts").examples[0] == f"val: {images} images (not published)"


def test_the_split_from_before_october_2022_is_explained_instead_of_counted(tmp_path: Path) -> None:
    report = check("rstp", *write_copy(tmp_path, "rstp", break_="wrong-rstp-split"))
    finding = finding_of(report, "wrong-rstp-split")
    assert "5/1/1" in finding.message
    assert "3/2/2" in finding.message
    assert finding.count == 2
    assert not report.can_run


def test_a_missing_folder_is_named_and_its_images_are_not_listed_one_by_one(tmp_path: Path) -> None:
    finding = finding_of(check("cuhk", *write_copy(tmp_path, "cuhk", break_="missing-folders")), "missing-folders")
    assert finding.examples == ("imgs/test_query/: 4 images",)
    assert "circulate" in finding.next_step
    folder, published = write_copy(tmp_path / "none", "cuhk")
    shutil.rmtree(folder / "imgs")
    assert finding_of(check("cuhk", folder, published), "missing-folders").examples == ("imgs/: 25 images",)
    whole = finding_of(check("rstp", *write_copy(tmp_path, "rstp", break_="missing-folders")), "missing-folders")
    assert whole.examples == ("imgs/: 17 images",)


def test_single_images_and_odd_counts_are_told_from_the_published_ones(tmp_path: Path) -> None:
    folder, published = write_copy(tmp_path, "cuhk", break_="single-image-people")
    report = check("cuhk", folder, published)
    single = finding_of(report, "single-image-people")
    assert single.count == 3
    assert single.next_step.startswith("So published for 1369, 12303. Not for 2:")
    odd = finding_of(report, "odd-caption-counts")
    assert (odd.count, odd.examples) == (
        2,
        ("Market/11004_c4s2_0.jpg (val): 4", "test_query/p12004_s0.jpg (test): 10"),
    )
    assert "published for 2 images" in odd.next_step


def test_caption_all_is_noted_for_cuhk_pedes_only(tmp_path: Path) -> None:
    folder, published = write_copy(tmp_path, "cuhk")
    (folder / "caption_all.json").unlink()
    assert names_of(check("cuhk", folder, published)) == NATURAL["cuhk"] - {"caption-all"}
    folder, published = write_copy(tmp_path, "rstp")
    (folder / "caption_all.json").write_text("[]")
    assert names_of(check("rstp", folder, published)) == NATURAL["rstp"]


def test_a_folder_that_is_called_like_a_split_is_one_whatever_follows(tmp_path: Path) -> None:
    said = {"train_query/1.jpg": True, "Train/2.jpg": True, "a/val-2/3.jpg": True, "trainer/4.jpg": False,
            "test/5.jpg": False, "train.jpg": False, "test/train/6.jpg": False}  # fmt: skip
    records = [PersonRecord(tmp_path, name, ("A man.",), row, "test") for row, name in enumerate(said)]
    report = check_dataset("x", tmp_path, Reading(tmp_path, records, []), published=None, advance=lambda steps: None)
    expected = tuple(f"{name} is in test" for name, misleads in said.items() if misleads)
    assert finding_of(report, "folders-are-not-splits").examples == expected


def test_a_bare_folder_of_images_is_a_gallery_and_no_more_is_said(tmp_path: Path) -> None:
    folder, _ = write_copy(tmp_path, "rstp")
    names = sorted(path.name for path in (folder / "imgs").iterdir())
    records = [PersonRecord(folder / "imgs", name, (), -1, None) for name in names]
    reading = Reading(folder / "imgs", records, [])
    report = check_dataset("imgs", folder / "imgs", reading, published=None, advance=lambda steps: None)
    assert [(figures.split, figures.images, figures.people) for figures in report.splits] == [("all", len(names), 0)]
    assert [(finding.name, finding.severity) for finding in report.findings] == [("no-captions", "note")]


def test_one_image_of_nobody_known_is_not_a_person_with_one_image(tmp_path: Path) -> None:
    reading = Reading(tmp_path, [PersonRecord(tmp_path, "1.jpg", (), -1, None)], [])
    report = check_dataset("x", tmp_path, reading, published=None, open_images=False, advance=lambda steps: None)
    assert names_of(report) == {"no-captions", "missing-images"}


def test_a_test_split_alone_needs_no_val_split(tmp_path: Path) -> None:
    records = [PersonRecord(tmp_path, f"{number}.jpg", ("A man.",), 1, "test") for number in range(2)]
    report = check_dataset("x", tmp_path, Reading(tmp_path, records, []), published=None, advance=lambda steps: None)
    assert names_of(report) == {"missing-images"}


def test_no_records_at_all_are_a_report_too(tmp_path: Path) -> None:
    reading = Reading(tmp_path / "x.json", [], ["record 0: 'id' is null"])
    report = check_dataset("cuhk", tmp_path, reading, published=PUBLISHED["cuhk"], advance=lambda steps: None)
    assert names_of(report) == {"unreadable-records", "counts"}
    assert finding_of(report, "unreadable-records").examples == ("x.json: record 0: 'id' is null",)
    assert check_dataset("x", tmp_path, Reading(tmp_path, [], []), published=None, advance=lambda steps: None).can_run


wild_records = st.lists(
    st.builds(
        PersonRecord,
        folder=st.just(Path("/nowhere/at/all")),
        name=st.text(alphabet="abé./ \udcff日", min_size=1, max_size=8),
        captions=st.lists(st.text(max_size=12), max_size=3).map(tuple),
        person_id=st.integers(-1, 5) | st.just(2**62),
        split=st.sampled_from(["train", "val", "test", None]),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(wild_records, st.sampled_from([None, *PUBLISHED.values()]), st.integers(3, 20))
def test_any_records_are_counted_as_a_loop_counts_them(
    records: list[PersonRecord], published: Published | None, context_length: int
) -> None:
    reading = Reading(Path("/nowhere/x.json"), records, [])
    report = check_dataset(
        "cuhk",
        Path("/nowhere"),
        reading,
        published=published,
        context_length=context_length,
        advance=lambda steps: None,
    )
    json.dumps(report.as_dict(), ensure_ascii=False).encode()
    names = names_of(report)
    for figures in report.splits:
        mine = [record for record in records if figures.split in (record.split, "all")]
        assert figures.images == len(mine)
        assert figures.captions == sum(len(record.captions) for record in mine)
        assert figures.people == len({record.person_id for record in mine} - {-1})
        assert figures.split != "all" or any(record.split is None for record in records) or published or not records
    if any(record.split is None for record in records):
        assert report.splits[-1].split == "all"
    in_two = {
        one.person_id for one in records for two in records
        if one.person_id == two.person_id != -1 and None not in (one.split, two.split) and one.split != two.split
    }  # fmt: skip
    assert ("people-in-two-splits" in names) == bool(in_two)
    if in_two:
        assert finding_of(report, "people-in-two-splits").count == len(in_two)
    assert ("missing-folders" in names) == bool(records)
    assert "missing-images" not in names
