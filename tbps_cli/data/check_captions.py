"""Checks of captions: absent, too many, too long, and the same for different people."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from tbps_cli.data.annotations import UNSPLIT
from tbps_cli.data.findings import Copy, Finding, count_of, show_examples
from tbps_cli.data.records import SPLITS, PersonRecord

_WORD = re.compile(r"[^\W_]+")
# Every tokenizer makes one token or more of each: "don't" may stay whole, and so may "...".
_LEAST_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|(?:[^\w\s]|_)+")
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
    total, longest = 0, []
    for record in copy.records:
        for caption in record.captions:
            total += 1
            if len(caption) > room and (tokens := count_least_tokens(caption)) > room:
                longest.append((tokens, record.name))
    if longest:
        longest.sort(key=lambda one: -one[0])
        yield Finding(
            "long-captions",
            "note",
            len(longest),
            f"Cut by a tokenizer that reads {context_length} tokens: at least {len(longest):,} of "
            f"{count_of(total, 'caption')}.",
            f"This is a lower bound: {room} words and punctuation marks fit beside the start and end token, and most "
            "tokenizers split rare words into several tokens. What is cut is the end of the caption; "
            "a longer context keeps more.",
            show_examples(f"{name}: {tokens} words and punctuation marks" for tokens, name in longest),
        )


def find_unsplit_annotations(copy: Copy) -> Iterator[Finding]:
    """The other annotation file that the archive of CUHK-PEDES holds."""
    path = copy.reading.annotations.parent / UNSPLIT
    if copy.dataset == "cuhk" and path.is_file():
        yield Finding(
            "caption-all",
            "note",
            1,
            f"A {UNSPLIT} lies beside {copy.reading.annotations.name}.",
            "It is not used: it has no split, and its ids are numbered in another way. Nothing to do.",
        )


def count_least_tokens(caption: str) -> int:
    """How many tokens any tokenizer makes of a caption, or more: its words and runs of punctuation."""
    return len(_LEAST_TOKEN.findall(_compose(caption)))


def _count_shared(records: Sequence[PersonRecord]) -> dict[str, int]:
    """Words of the captions that several people have -> how many captions those are."""
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    shared: dict[str, None] = {}  # in the order in which they are found out
    for record in records:
        if record.person_id < 0:
            continue
        for caption in record.captions:
            words = " ".join(_WORD.findall(_compose(caption).lower()))
            counts[words] += 1
            if first.setdefault(words, record.person_id) != record.person_id:
                shared[words] = None
    return {words: counts[words] for words in shared}


def _compose(caption: str) -> str:
    """Letters with their accents as one character, so that they are one word."""
    return caption if caption.isascii() else unicodedata.normalize("NFC", caption)
