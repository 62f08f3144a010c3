"""Captions to CLIP's token ids: as open_clip makes them, of any text, cut and padded, and carried in a checkpoint."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.encoders.clip import ClipTextEncoder
from tbps_cli.encoders.clip.pieces import Pieces
from tbps_cli.encoders.clip.tokenizer import ClipTokenizer
from tbps_cli.errors import CheckpointError, QueryError, RecipeError

Build = Callable[..., Any]
START, END = 49_406, 49_407
CAPTIONS = [
    "A woman in a red T-shirt!",
    "",
    "!",
    "a man  with\tblack trousers &amp; shoes",
    "red coat " * 60,
    "穿红色外套的女人 🙂",
]


@pytest.fixture(scope="module")
def byte_pairs() -> ClipTokenizer:
    return ClipTokenizer("ViT-B-16")


@pytest.fixture
def hub_folder(tmp_path: Path) -> Path:
    """A tokenizer as SigLIP's: words and an end, padded with another token; saved by transformers."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", "a", "woman", "in", "red", "tshirt", "man"]
    pieces = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    pieces.pre_tokenizer = Whitespace()
    pieces.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    saved = PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    saved.save_pretrained(tmp_path / "siglip")
    return tmp_path / "siglip"


@pytest.fixture
def hub_model(clip_configs: Path, hub_folder: Path) -> str:
    """A model whose tokenizer open_clip has to fetch, and finds in the folder."""
    import open_clip

    config = json.loads((clip_configs / "tiny-siglip.json").read_text())
    config["text_cfg"]["hf_tokenizer_name"] = str(hub_folder)
    (clip_configs / "tiny-fetched.json").write_text(json.dumps(config))
    open_clip.add_model_config(clip_configs)
    return "tiny-fetched"


def test_byte_pairs_are_open_clips_own_and_padded_to_the_longest_caption(byte_pairs: ClipTokenizer) -> None:
    import open_clip

    expected = open_clip.get_tokenizer("ViT-B-16")(CAPTIONS)
    token_ids, mask = byte_pairs(CAPTIONS)
    assert torch.equal(token_ids, expected)
    short, short_mask = byte_pairs(CAPTIONS[:4])
    assert torch.equal(short, expected[:4, : short.shape[1]])
    assert short_mask.sum(dim=1).max() == short.shape[1]
    assert not expected[:4, short.shape[1] :].any()
    assert torch.equal(mask.sum(dim=1) - 1, expected.argmax(dim=1))


def test_an_exclamation_mark_is_a_token_although_its_id_is_the_paddings(byte_pairs: ClipTokenizer) -> None:
    token_ids, mask = byte_pairs(["!!", "a red coat"])
    assert mask.tolist()[0] == [True, True, True, False, False]
    assert token_ids[0, 3:].tolist() == [0, 0]


def test_what_is_too_long_is_cut_and_keeps_its_end() -> None:
    token_ids, mask = ClipTokenizer("ViT-B-16", 5)(["a very red coat and a hat", "coat"])
    assert token_ids.shape == (2, 5)
    assert token_ids[:, 0].tolist() == [START, START]
    assert token_ids[0, -1] == END
    assert mask.sum(dim=1).tolist() == [5, 3]


def test_a_start_or_end_written_out_is_not_one(byte_pairs: ClipTokenizer) -> None:
    token_ids, _ = byte_pairs(["a <end_of_text> red <start_of_text> coat"])
    assert token_ids[0].tolist() == byte_pairs(["a red coat"])[0][0].tolist()


@lru_cache
def shared_pieces() -> Pieces:
    return ClipTokenizer("ViT-B-16").pieces


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=60), min_size=1, max_size=4))
def test_any_text_begins_and_ends_once_and_has_known_ids(captions: list[str]) -> None:
    tokenizer = ClipTokenizer("ViT-B-16", 20, pieces=shared_pieces())
    token_ids, mask = tokenizer(captions)
    assert token_ids.shape == mask.shape
    assert token_ids.shape[1] <= 20
    assert 0 <= int(token_ids.min()) <= int(token_ids.max()) < tokenizer.size
    for row, row_mask in zip(token_ids, mask, strict=True):
        length = int(row_mask.sum())
        assert bool(row_mask[:length].all())
        assert row[0] == START
        assert row[length - 1] == END
        assert [int(token) for token in row[1 : length - 1]].count(END) == 0
        assert not row[length:].any()


@torch.inference_mode()
def test_a_caption_embeds_the_same_alone_in_a_batch_and_padded_to_the_context(tiny_clip: Build) -> None:
    pair = tiny_clip("tiny-vit")
    encoder = ClipTextEncoder(model="tiny-vit").eval()
    tokenizer = ClipTokenizer("tiny-vit")
    captions = ["red coat", "a", "a woman in a very long red coat and shoes"]
    token_ids, mask = tokenizer(captions)
    batch = encoder.trunk(encoder.stem(token_ids, mask), mask).embedding
    for row, caption in enumerate(captions):
        alone, alone_mask = tokenizer([caption])
        embedding = encoder.trunk(encoder.stem(alone, alone_mask), alone_mask).embedding
        torch.testing.assert_close(embedding[0], batch[row], atol=1e-5, rtol=1e-5)
    encoder.net.load_state_dict(
        {key: tensor for key, tensor in pair.state_dict().items() if key in encoder.net.state_dict()}
    )
    import open_clip

    expected = pair.encode_text(open_clip.get_tokenizer("tiny-vit")(captions))
    found = encoder.trunk(encoder.stem(token_ids, mask), mask).embedding
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_model_that_reads_its_padding_gets_its_whole_context(clip_configs: Path) -> None:
    token_ids, mask = ClipTokenizer("MobileCLIP-S1")(["red coat"])
    assert token_ids.shape == (1, 77)
    assert mask.sum() == 4


def test_fetched_pieces_are_open_clips_own_and_all_of_a_row_is_read(hub_model: str) -> None:
    import open_clip

    captions = ["A woman in a red T-shirt!", "man", "", "a red " * 20]
    tokenizer = ClipTokenizer(hub_model)
    token_ids, mask = tokenizer(captions)
    assert torch.equal(token_ids, open_clip.get_tokenizer(hub_model)(captions))
    assert token_ids[0].tolist() == [3, 4, 5, 3, 6, 7, 1, 0, 0, 0, 0, 0]
    assert token_ids[3, -1] == 1
    assert bool(mask.all())


def test_a_blanked_separator_is_blanked(clip_configs: Path, tmp_path: Path) -> None:
    import open_clip
    from transformers import BertTokenizerFast

    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "coat"]))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = json.loads((clip_configs / "tiny-clipa.json").read_text())
    config["text_cfg"].update(hf_tokenizer_name=str(tmp_path), tokenizer_kwargs={"strip_sep_token": True})
    (clip_configs / "tiny-blanked.json").write_text(json.dumps(config))
    open_clip.add_model_config(clip_configs)
    token_ids, mask = ClipTokenizer("tiny-blanked")(["Red coat", "coat " * 20])
    assert torch.equal(token_ids, open_clip.get_tokenizer("tiny-blanked")(["Red coat", "coat " * 20]))
    assert 3 not in token_ids
    assert ClipTokenizer("tiny-blanked")(["[MASK] red"])[0][0, 1:3].tolist() == [1, 1]  # [ and MASK: no special token
    assert bool(mask.all())


@pytest.mark.parametrize("model", ["ViT-B-16", "fetched"])
def test_a_checkpoint_carries_it_as_text_and_a_worker_as_bytes(
    model: str, hub_model: str, hub_folder: Path, tmp_path: Path
) -> None:
    tokenizer = ClipTokenizer(hub_model if model == "fetched" else model, 14)
    text = tokenizer.serialise()
    hub_folder.rename(tmp_path / "gone")
    expected = tokenizer(["a red coat", "woman"])
    for again in (ClipTokenizer.from_text(text, 14), pickle.loads(pickle.dumps(tokenizer))):
        assert all(map(torch.equal, again(["a red coat", "woman"]), expected))
        assert (again.model, again.context_length, again.size) == (tokenizer.model, 14, tokenizer.size)
        assert again.serialise() == text


def test_byte_pairs_are_carried_by_name(byte_pairs: ClipTokenizer) -> None:
    assert byte_pairs.serialise() == '{"model": "ViT-B-16"}\n'
    assert ClipTokenizer.from_text(byte_pairs.serialise()).context_length == 77


@pytest.mark.parametrize(
    "text",
    [
        "",
        "red\ncoat",
        "[]",
        "[" * 100_000,
        '{"model": 3}',
        '{"model": "ViT-Z-99"}',
        '{"model": "tiny-fetched"}',
        '{"model": "tiny-fetched", "padding": 0, "pieces": "{}"}',
        '{"model": "tiny-fetched", "padding": -1, "pieces": "{}"}',
        '{"model": "tiny-fetched", "padding": true, "pieces": 5}',
    ],
)
def test_a_damaged_text_is_refused(text: str, hub_model: str) -> None:
    with pytest.raises(CheckpointError, match="tokenizer"):
        ClipTokenizer.from_text(text)


def test_a_tokenizer_of_another_model_is_refused(clip_configs: Path, hub_folder: Path, hub_model: str) -> None:
    text = json.loads((hub_folder / "tokenizer.json").read_text())
    text["model"]["vocab"]["red"] = 900
    (hub_folder / "tokenizer.json").write_text(json.dumps(text))
    with pytest.raises(CheckpointError, match="piece number 900, and tiny-fetched knows 300"):
        ClipTokenizer(hub_model)(["a red coat"])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.json", None, "holds no tokenizer.json"),
        ("tokenizer.json", "{", "damaged"),
        ("tokenizer_config.json", None, "holds no tokenizer_config.json"),
        ("tokenizer_config.json", "[]", "holds a list"),
        ("tokenizer_config.json", "{", "damaged JSON"),
        ("tokenizer_config.json", '{"padding_side": "left"}', "pads at the left"),
    ],
)
def test_a_damaged_or_absent_file_is_refused(
    file: str, content: str | None, message: str, hub_model: str, hub_folder: Path
) -> None:
    (hub_folder / file).unlink()
    if content is not None:
        (hub_folder / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        ClipTokenizer(hub_model)


def test_offline_it_says_what_to_download_from_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for module in (huggingface_hub.constants, huggingface_hub.file_download):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path), raising=False)
    with pytest.raises(CheckpointError, match=r"tokenizer.json from https://huggingface.co/timm/ViT-B-16-SigLIP2-256"):
        ClipTokenizer("ViT-B-16-SigLIP2-256")


def test_another_folder_may_hold_the_tokenizer(hub_model: str, hub_folder: Path, tmp_path: Path) -> None:
    hub_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError):
        ClipTokenizer(hub_model)
    assert ClipTokenizer(hub_model, source=tmp_path / "elsewhere")(["red"])[0][0, :2].tolist() == [6, 1]


@pytest.mark.parametrize("query", ["", "  ", "!!!", "🙂"])
def test_a_query_without_a_word_is_refused_with_an_example(query: str, byte_pairs: ClipTokenizer) -> None:
    with pytest.raises(QueryError, match="woman in red coat"):
        byte_pairs.check_query(query)


def test_a_long_query_is_not_cut_in_silence(byte_pairs: ClipTokenizer) -> None:
    assert byte_pairs.check_query("red " * 75) == []
    with pytest.raises(QueryError, match="78 tokens with its end; this model reads 77"):
        byte_pairs.check_query("red " * 76)


def test_parts_of_a_query_without_a_token_are_named(hub_model: str) -> None:
    tokenizer = ClipTokenizer(hub_model)
    assert tokenizer.check_query("a woman in crimson") == ["'crimson'"]
    assert tokenizer.check_query("a red man") == []
    with pytest.raises(QueryError, match="knows no word of the query"):
        tokenizer.check_query("женщина")
    with pytest.raises(QueryError, match="13 tokens with its end; this model reads 12"):
        tokenizer.check_query("red " * 12)


def test_a_context_that_the_model_cannot_read_is_refused() -> None:
    with pytest.raises(RecipeError, match="context_length is 2"):
        ClipTokenizer("ViT-B-16", 2)
    with pytest.raises(RecipeError, match="needs at least 77"):
        ClipTokenizer("MobileCLIP-S1", 40)
