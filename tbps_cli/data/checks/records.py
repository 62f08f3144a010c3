"""Checks of records one by one: can they be read, is an image listed once, who has a single image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tbps_cli.data.checks.findings import Copy, Finding, count_of, show_examples
from tbps_cli.data.crops.kinds import SUFFIXES


def find_unreadable_records(copy: Copy) -> Iterator[Finding]:
    """Records that the reader could not take."""
    problems = copy.reading.problems
    if problems:
        yield Finding(
            "unreadable-records",
            "error",
            len(problems),
            f"Not readable in {copy.reading.annotations.name}: {count_of(len(problems), 'record')}.",
            "Training and evaluation refuse this file. Mend the records, or fetch the file again.",
            show_examples(f"{copy.reading.annotations.name}: {problem}" for problem in problems),
        )


def find_repeated_images(copy: Copy) -> Iterator[Finding]:
    """Images that one split lists more than once."""
    repeated = {}
    for name, records in copy.by_name.items():
        if len(records) > 1:
            split, times = Counter(record.split for record in records).most_common(1)[0]
            if times > 1:
                repeated[name] = f"{name}: {times} times" + (f" in {split}" if split else "")
    if repeated:
        yield Finding(
            "repeated-images",
            "error",
            len(repeated),
            f"Listed more than once in a split: {count_of(len(repeated), 'image')}.",
            "A gallery holds every image once. Join the captions of an image in one record.",
            show_examples(repeated.values()),
        )


def find_single_images(copy: Copy) -> Iterator[Finding]:
    """People with one image."""
    images = defaultdict(set)
    for name, records in copy.by_name.items():
        for record in records:
            if record.person_id >= 0 and record.origin == "camera":  # a generated person has as many as were made
                images[record.person_id].add(name)
    single = {person_id: next(iter(names)) for person_id, names in sorted(images.items()) if len(names) == 1}
    if single:
        yield Finding(
            "single-image-people",
            "note",
            len(single),
            f"With a single image: {len(single):,} of {count_of(len(images), 'person', 'people')}.",
            _explain_single_images(copy, set(single)),
            show_examples(f"person {person_id}: {name}" for person_id, name in single.items()),
        )


def find_formats(copy: Copy) -> Iterator[Finding]:
    """Images of several formats, told by the endings of their names."""
    formats = {name: _format_of(name) for name in copy.by_name}
    counts = Counter(formats.values()).most_common()
    if len(counts) > 1:
        usual = counts[0][0]
        yield Finding(
            "mixed-formats",
            "note",
            len(formats) - counts[0][1],
            f"The images are of several formats: {', '.join(f'{count:,} {format_}' for format_, count in counts)}.",
            "All of these are read alike; nothing to do.",
            show_examples(name for name, format_ in formats.items() if format_ != usual),
        )


def _explain_single_images(copy: Copy, single: set[int]) -> str:
    known = copy.published.single_image_people if copy.published else None
    if known is None:
        return "A search for one of them has one right answer, and training no second view of them. Nothing to do."
    others = sorted(single - set(known))
    published = f"So published for {', '.join(map(str, known))}."
    if not others:
        return f"{published} Nothing to do."
    return f"{published} Not for {', '.join(map(str, others[:20]))}{' …' if others[20:] else ''}: images may be lost."


def _format_of(name: str) -> str:
    ending = name[name.rfind(".") :].lower()
    return {".jpeg": "jpg", ".tiff": "tif"}.get(ending, ending[1:]) if ending in SUFFIXES else "other"
