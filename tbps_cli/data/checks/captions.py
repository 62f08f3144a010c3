"""Checks of captions: absent, too many, too long, and the same for different people."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from heapq import nlargest
from typing import Any

from tbps_cli.data.annotations import UNSPLIT
from tbps_cli.data.checks.findings import MOST_EXAMPLES, Copy, Finding, count_of, show_examples
from tbps_cli.data.records import SPLITS, PersonRecord
from tbps_cli.paths import is_file

_WORD = re.compile(r"[^\W_]+")
_MARK = re.escape(string.punctuation)
# Every tokenizer makes one token or more of each: "T-shirt" is three, "..." may be one.
_LEAST_TOKEN = re.compile(rf"[^\s{_MARK}]+|[{_MARK}]+")
_APOSTROPHES = re.compile("['’]")  # never counted: "don't" and "'s" may be one token each
_ONLY_LETTERS = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)}
_ONLY_MARKS = {code: None for code in range(128) if chr(code) not in string.punctuation}
_START_AND_END = 2  # tokens


def find_no_captions(copy: Copy) -> Iterator[Finding]:
    """Images that nobody described."""
    bare = [record.name for record in copy.records if not record.captions]
    if not bare:
        return
    if len(bare) == len(copy.records):
        yield Finding(
            "no-captions",
            "note",
            len(bare),
            f"Without captions: {'the only image' if len(bare) == 1 else f'all of {len(bare):,} images'}.",
            "This is a gallery: it can be embedded and searched, not trained on or evaluated.",
        )
        return
    yield Finding(
        "no-captions",
        "warning",
        len(bare),
        f"Without captions: {len(bare):,} of {len(copy.records):,} images.",
        "They are searched among and never searched for, and training leaves them out. Look whether captions got lost.",
        show_examples(bare),
    )


def find_odd_counts(copy: Copy) -> Iterator[Finding]:
    """Images with captions, but another number of them than published."""
    usual = copy.published.captions_an_image if copy.published else None
    if copy.published is None or usual is None:
        return
    odd = [record for record in copy.records if len(record.captions) not in (0, usual)]
    if odd:
        known = copy.published.odd_caption_images
        yield Finding(
            "odd-caption-counts",
            "note",
            len(odd),
            f"With another number of captions than {usual}: {count_of(len(odd), 'image')}.",
            ("" if known is None else f"So published for {count_of(known, 'image')}. ")
            + "Every caption counts as a query; nothing to do.",
            show_examples(f"{record.name} ({record.split}): {len(record.captions)}" for record in odd),
        )


def find_shared_captions(copy: Copy) -> Iterator[Finding]:
    """Captions that different people of a split have word for word: nobody can tell who is meant."""
    queries, said, examples = 0, [], []
    for split in (*SPLITS, None):
        records = copy.by_split.get(split, [])
        counts = _count_shared(records)
        if counts:
            shared, all_queries = sum(counts.values()), sum(len(record.captions) for record in records)
            known = copy.published.shared_queries.get(split) if copy.published and split else None
            published = f" (published {known:,})" if known is not None else ""
            said.append(
                f"{split + ': ' if split else ''}{shared:,}{published} of {count_of(all_queries, 'query', 'queries')}, "
                f"{count_of(len(counts), 'different one', 'different ones')}"
            )
            examples += [f"{split + ', ' if split else ''}{times} times: {words}" for words, times in counts.items()]
            queries += shared
    if said:
        yield Finding(
            "shared-captions",
            "note",
            queries,
            f"Word for word the caption of another person: {'; '.join(said)}.",
            "These queries cannot be told apart, so no system answers all of them. "
            "The protocol keeps them; so does tbps.",
            show_examples(examples),
        )


def find_long_captions(copy: Copy, context_length: int) -> Iterator[Finding]:
    """Captions that a tokenizer of so many tokens must cut, as far as can be told without one."""
    room = context_length - _START_AND_END
    total = sum(len(record.captions) for record in copy.records)
    long = [
        (record.name, caption)
        for record in copy.records
        for caption in record.captions
        if _has_more_tokens(caption, room)
    ]
    if long:
        longest = nlargest(MOST_EXAMPLES, long, key=lambda one: len(one[1]))
        yield Finding(
            "long-captions",
            "note",
            len(long),
            f"Cut by a tokenizer that reads {context_length} tokens: at least {len(long):,} of "
            f"{count_of(total, 'caption')}.",
            f"This is a lower bound: {room} words and punctuation marks fit beside the start and end token, and most "
            "tokenizers split rare words into several tokens. What is cut is the end of the caption; "
            "a longer context keeps more.",
            show_examples(
                f"{name}: {count_least_tokens(caption)} words and punctuation marks" for name, caption in longest
            ),
        )


def find_unsplit_annotations(copy: Copy) -> Iterator[Finding]:
    """The other annotation file that the archive of CUHK-PEDES holds."""
    path = copy.reading.annotations.parent / UNSPLIT
    if copy.dataset == "cuhk" and is_file(path):
        yield Finding(
            "caption-all",
            "note",
            1,
            f"A {UNSPLIT} lies beside {copy.reading.annotations.name}.",
            "It is not used: it has no split, and its ids are numbered in another way. Nothing to do.",
        )


def count_least_tokens(caption: str) -> int:
    """How many tokens every tokenizer makes of a caption at least: its words and runs of punctuation marks."""
    return len(_LEAST_TOKEN.findall(_APOSTROPHES.sub("", caption)))


def _has_more_tokens(caption: str, tokens: int) -> bool:
    """Whether `count_least_tokens` is more than that; most captions need not be counted exactly to tell."""
    if len(caption) <= tokens:
        return False
    words = len(caption.split())
    if words - len(_APOSTROPHES.findall(caption)) > tokens:
        return True
    at_most = words + 2 * len(caption.translate(_ONLY_MARKS))  # a mark splits one word in three
    return at_most > tokens and count_least_tokens(caption) > tokens


def _count_shared(records: Sequence[PersonRecord]) -> dict[str, int]:
    """Words of the captions that several people have -> how many captions those are."""
    captions = [
        (caption, record.person_id) for record in records if record.person_id >= 0 for caption in record.captions
    ]
    # Splitting all of them into words would take longer than all other checks: first those of the same letters.
    suspects = [one for group in _group_shared(captions, _letters_of).values() for one in group]
    return {" ".join(words): len(group) for words, group in _group_shared(suspects, _words_of).items()}


def _group_shared(
    captions: Iterable[tuple[str, int]], key_of: Callable[[str], Hashable]
) -> dict[Any, list[tuple[str, int]]]:
    """Captions with their people by key, of the keys that several people have."""
    groups = defaultdict(list)
    for one in captions:
        groups[key_of(one[0])].append(one)
    return {key: group for key, group in groups.items() if len({person_id for _, person_id in group}) > 1}


def _letters_of(caption: str) -> str:
    return caption.translate(_ONLY_LETTERS) if caption.isascii() else "".join(_words_of(caption))


def _words_of(caption: str) -> tuple[str, ...]:
    """Words and numbers in lower case; letters with their accents are one character."""
    return tuple(_WORD.findall(unicodedata.normalize("NFC", caption).lower()))
