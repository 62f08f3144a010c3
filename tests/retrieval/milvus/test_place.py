"""Addresses of collections: what is read, what is refused, and that no password is repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.errors import EngineError, TbpsError
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


@pytest.mark.parametrize(
    "text",
    [
        "http://root:secret@host/people", "http://host/people?token=secret", "http://root:se#secret@host:1/people",
        "http://root:se/secret@host/p", "http://root:secret?x@host/p", "http://ro ot:[secret@host/p", "http://u:a@secret@h/p",
        " http://root:secret@host/p", "HTTPS://root:secret@host", "http:/root:secret@host/p", "tcp://root:secret@host/p",
        "https://root:p%40secret%40host/p", "http://root:secret", "http://host/people;token=secret", "http://h/p#secret",
        "lite:secret@host/p", "milvus+grpc://root:secret/host",
    ],
)  # fmt: skip
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(EngineError, match="Write http://HOST:19530/COLLECTION") as caught:
        MilvusPlace.parse(text)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert MilvusPlace.is_meant_by(text)


@given(st.text())
def test_nothing_up_to_the_last_at_is_repeated(secret: str) -> None:
    with pytest.raises(EngineError) as caught:
        MilvusPlace.parse(f"http://root:Z{secret}Z@host/people")
    assert f"Z{secret}Z" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://root:secret@host/x", "http:/root:secret@host/x", "s3://a:b@secret@host"])
def test_no_error_repeats_the_credentials_of_an_address(address: str) -> None:
    assert "secret" not in str(TbpsError(f"{address}: no such file."))
    assert "host" in str(TbpsError(f"{address}: no such file."))


def test_a_feature_file_is_no_place() -> None:
    assert not MilvusPlace.is_meant_by("gallery.h5")


@given(st.text() | st.text(alphabet="htps:/[]@lie.db12a").map(lambda tail: "http://" + tail))
def test_whatever_is_written_is_a_place_or_an_error_of_ours(text: str) -> None:
    try:
        place = MilvusPlace.parse(text)
    except EngineError:
        return
    assert MilvusPlace.parse(str(place)) == place
