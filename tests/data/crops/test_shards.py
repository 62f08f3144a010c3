"""Archives from anywhere: every member is where it says, and no header is believed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.data.crops.decoding import UnreadableCropError, read_content
from tbps_cli.data.crops.listing import list_crops
from tbps_cli.data.crops.shards import LONGEST_NAME, ShardDamagedError, read_members

NAMES = st.text("abé /.-", min_size=1, max_size=300).filter(lambda name: name.strip("/"))


def pack(members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1100)), max_size=5),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_members_are_where_tarfile_finds_them(members: list[tuple[str, bytes]], form: int) -> None:
    packed = pack(members, form)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        expected = [
            (one.name.rstrip("/"), tar.extractfile(one).read(), one.offset_data)  # type: ignore[union-attr]
            for one in tar
            if one.isfile()
        ]
    found = [
        (one.name.decode().rstrip("/"), packed[one.offset : one.offset + one.size], one.offset)
        for one in read_members(io.BytesIO(packed), len(packed))
    ]
    assert found == expected


@given(start=st.integers(0, 3000), noise=st.binary(max_size=600), cut=st.integers(0, 6000))
def test_a_damaged_archive_ends_in_words(start: int, noise: bytes, cut: int) -> None:
    packed = bytearray(pack([("a" * 150 + ".jpg", b"x" * 700), ("b.jpg", b"y")]))
    packed[start : start + len(noise)] = noise
    del packed[cut:]
    try:
        for member in read_members(io.BytesIO(packed), len(packed)):
            assert 0 <= member.offset <= member.offset + member.size <= len(packed)
    except ShardDamagedError:
        pass


class _Counting(io.BytesIO):
    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        self.largest = max(self.largest, size or 0)
        return super().read(size)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [LONGEST_NAME * 100, 1 << 40, -1])
def test_a_header_of_a_gigantic_claim_is_not_read(kind: bytes, size: int) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    content = _Counting(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(ShardDamagedError):
        list(read_members(content, 1 << 50))
    assert content.largest <= 512


def test_no_member_leads_out_of_its_shard_and_no_link_is_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name in ("/etc/x.jpg", "a/../../x.jpg", "./ok.jpg", "word.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"ab"))
        for name, kind in (("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("d.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    crops = list_crops([str(tmp_path / "s.tar")])
    said = {crops.name(row): crops.place(row).refusal for row in range(crops.count)}
    assert [name for name, refusal in said.items() if "leaves the shard" in refusal] == [
        "s.tar//etc/x.jpg",
        "s.tar/a/../../x.jpg",
    ]
    assert [name for name, refusal in said.items() if "no regular file" in refusal] == [
        "s.tar/l.jpg",
        "s.tar/h.jpg",
        "s.tar/d.jpg",
    ]
    assert [name for name, refusal in said.items() if not refusal] == ["s.tar/ok.jpg"]
    assert read_content(crops.place(2)) == b"ab"


def test_shards_come_in_their_order_beside_files_and_damage_ends_only_one(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(pack([("a.jpg", b"0a"), ("b.jpg", b"0b")]))
    (tmp_path / "1.tar").write_bytes(pack([("a.jpg", b"1a"), ("b.jpg", b"1b" * 9000)])[:3000])
    (tmp_path / "2.tar").write_bytes(b"no archive at all, however long it is" * 100)
    (tmp_path / "3.jpg").write_bytes(b"3")
    (tmp_path / "4.tar").write_bytes(b"")
    (tmp_path / "5.tar").write_bytes(pack([("a.jpg", b"5a")]))
    crops = list_crops([str(tmp_path / "*")])
    assert [(crops.name(row), crops.place(row).refusal[:10]) for row in range(crops.count)] == [
        ("0.tar/a.jpg", ""),
        ("0.tar/b.jpg", ""),
        ("1.tar/a.jpg", ""),
        ("1.tar", "a damaged "),
        ("2.tar", "a damaged "),
        ("3.jpg", ""),
        ("5.tar/a.jpg", ""),
    ]
    readable = [row for row in range(crops.count) if not crops.place(row).refusal]
    assert [read_content(crops.place(row)) for row in readable] == [b"0a", b"0b", b"1a", b"3", b"5a"]
    braces = list_crops([str(tmp_path / "{0,5}.tar")])
    assert [braces.name(row) for row in range(braces.count)] == ["0.tar/a.jpg", "0.tar/b.jpg", "5.tar/a.jpg"]


def test_a_shard_that_changed_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(pack([("a.jpg", b"before")]))
    crops = list_crops([str(path)])
    path.write_bytes(pack([("a.jpg", b"after!"), ("b.jpg", b"x" * 20_000)]))
    with pytest.raises(UnreadableCropError, match="changed after it was listed"):
        read_content(crops.place(0))
