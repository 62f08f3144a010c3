"""Lists as people, editors and scripts write them."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.lists import LONGEST_LINE, Line, find_path, in_bytes, in_words, read_list, same_letters
from tbps_cli.errors import DataError, QueryError

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le with mark", "utf-16-be with mark")
# What a name may hold beside letters: other line ends than editors know, blanks, quotes, a comment's sign, a mark.
NAMES = st.text(st.sampled_from(list("aé人\u0301 \u2028\x85\x0c\x0b\t#'\"\ufeff./")), min_size=1, max_size=8)


def read(content: bytes) -> list[Line]:
    return list(read_list(io.BytesIO(content), "list.txt"))


def encode(text: str, encoding: str) -> bytes:
    bare, _, is_marked = encoding.partition(" ")
    return ("\ufeff" * bool(is_marked) + text).encode(bare)


@given(
    names=st.lists(NAMES, max_size=5),
    encoding=st.sampled_from(ENCODINGS),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    around=st.sampled_from(["", " ", "\t ", "\xa0"]),
    quote=st.sampled_from(["", '"', "'"]),
    between=st.sampled_from(["", "# a comment", "   ", "\ufeff"]),
    is_ended=st.booleans(),
)
def test_a_list_means_the_names_that_were_written(
    names: list[str], encoding: str, end: str, around: str, quote: str, between: str, is_ended: bool
) -> None:
    # Nobody puts quotes around what holds them, nor writes without them what they protect.
    names = [name for name in names if quote not in name] if quote else [f"a{name}b" for name in names]
    lines = [line for name in names for line in (between, f"{around}{quote}{name}{quote}{around}")]
    content = encode(end.join(["x.jpg", *lines]) + end * is_ended, encoding)
    found = read(content)
    assert [line.meant for line in found if line.meant] == ["x.jpg", *names]
    assert [line.number for line in found] == list(range(1, 2 + len(lines)))
    assert [line.choose(lambda exact: True) for line in found] == ["x.jpg", *lines]


@given(names=st.lists(st.binary(min_size=5).filter(lambda name: b"\0" not in name), min_size=1), is_ended=st.booleans())
def test_between_nul_characters_everything_is_a_name(names: list[bytes], is_ended: bool) -> None:
    names = [b"./" + name for name in names]
    found = read(b"\0".join([*names, b""] if is_ended or len(names) == 1 else names))
    assert [in_bytes(line.meant) for line in found] == names


@given(content=st.binary(max_size=300))
def test_any_bytes_are_lines_or_a_reason(content: bytes) -> None:
    try:
        assert all(line.meant.isascii() or in_words(line.meant) for line in read(content))
    except DataError as error:
        assert str(error).startswith("list.txt: ")


def test_utf_16_is_known_without_a_mark() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert [line.meant for line in read("a/人.jpg\r\nb.jpg".encode(encoding))] == ["a/人.jpg", "b.jpg"]
    with pytest.raises(QueryError, match="begins as utf-16 text"):
        list(read_list(io.BytesIO("red coat".encode("utf-16") + b"x"), "q.txt", QueryError))


def test_bytes_that_are_no_text_stay_bytes() -> None:
    (line,) = read(b"caf\xe9.jpg\n")
    assert (in_bytes(line.meant), in_words(line.meant)) == (b"caf\xe9.jpg", "caf\\xe9.jpg")


@pytest.mark.parametrize("ending", [b"\n", b"\0"])
def test_a_line_has_an_end(ending: bytes) -> None:
    longest = b"x" * LONGEST_LINE
    assert [line.number for line in read(b"a" + ending + longest + ending)] == [1, 2]
    with pytest.raises(DataError, match="line 2 has more than 65,536"):
        read(b"a" + ending + longest + b"x" + longest)


def test_quotes_are_a_pair_around_the_whole() -> None:
    lines = ['"a" and "b"', "\"a'", '"', "''", "'a'", '"#a"', "#a", " # a", "./#a"]
    meant = [line.meant for line in read("\n".join(lines).encode())]
    assert meant == ['"a" and "b"', "\"a'", '"', "", "a", "#a", "", "", "./#a"]


def test_letters_are_found_in_either_normal_form(tmp_path: Path) -> None:
    folder, file = unicodedata.normalize("NFC", "josé"), unicodedata.normalize("NFD", "señora.jpg")
    (tmp_path / folder).mkdir()
    (tmp_path / folder / file).touch()
    there = bytes(tmp_path / folder / file)
    for form in ("NFC", "NFD"):
        assert find_path(unicodedata.normalize(form, str(tmp_path / "josé/señora.jpg")).encode()) == there
    absent = bytes(tmp_path / "josé/x.jpg")
    assert find_path(absent) == absent
    assert same_letters(file) == same_letters(unicodedata.normalize("NFC", file)) != same_letters("senora.jpg")
