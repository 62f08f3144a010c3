"""Addresses of collections: what is read, what is refused, and that no password is repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.errors import EngineError
from tbps_cli.retrieval.milvus.place import MilvusPlace


@pytest.mark.parametrize(
    ("text", "uri", "collection"),
    [
        ("http://host:19530/people", "http://host:19530", "people"),
        ("http://host/people/", "http://host:19530", "people"),
        ("https://in.zilliz.example/people", "https://in.zilliz.example:443", "people"),
        ("HTTP://host:1/people", "http://host:1", "people"),
        ("http://[::1]:19530/people", "http://[::1]:19530", "people"),
        ("./people.db", "./people.db", "gallery"),
        ("lite:a/b.db/people", "a/b.db", "people"),
        ("lite:a/b.db", "a/b.db", "gallery"),
    ],
)
def test_a_place_is_an_address_or_a_file(text: str, uri: str, collection: str) -> None:
    place = MilvusPlace.parse(text)
    assert (place.uri, place.collection) == (uri, collection)
    assert MilvusPlace.is_meant_by(text)
    assert MilvusPlace.parse(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "people.h5", "", ".db", "a/.db", "lite:", "lite:people", "lite:a/b.db/", "lite:a/b.db/no-hyphen", "a\0.db",
        "http://", "http:///people", "http://host", "http://host/", "http://host/a/b", "http://host/1st",
        "http://host:x/people", "http://host:99999/people", "http://ho st/people", "http://[::1/people",
        "http://host/people;drop", "http://host/" + "a" * 256, "ftp://host/people",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(EngineError, match="Write http://HOST:19530/COLLECTION"):
        MilvusPlace.parse(text)


@pytest.mark.parametrize("text", ["http://root:secret@host/people", "http://host/people?token=secret"])
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(EngineError, match="TBPS_MILVUS_TOKEN") as caught:
        MilvusPlace.parse(text)
    assert "secret" not in str(caught.value)


def test_a_feature_file_is_no_place() -> None:
    assert not MilvusPlace.is_meant_by("gallery.h5")


@given(st.text() | st.text(alphabet="htps:/[]@lie.db12a").map(lambda tail: "http://" + tail))
def test_whatever_is_written_is_a_place_or_an_error_of_ours(text: str) -> None:
    try:
        place = MilvusPlace.parse(text)
    except EngineError:
        return
    assert MilvusPlace.parse(str(place)) == place
