"""BERT as a text encoder: equal to transformers' own, whatever is padded, cut or recomputed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from tbps_cli.encoders.bert import BertTextEncoder, bert_sizes
from tbps_cli.errors import CheckpointError, RecipeError

SIZES: dict[str, Any] = {"vocabulary_size": 40, "context_length": 16, "width": 24, "depth": 3, "heads": 2}
TOKEN_IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, 0, 0]])
MASK = TOKEN_IDS != 0


def build(**options: Any) -> BertTextEncoder:
    torch.manual_seed(0)
    return BertTextEncoder(**{**SIZES, "feedforward": 32, **options}).eval()


def build_reference(kind: str = "BertModel", **options: Any) -> nn.Module:
    torch.manual_seed(1)
    sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(**{"vocab_size": 40, **sizes, **options})
    reference = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in reference.parameters():  # biases begin at zero, norms at one: none of them would be missed
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return reference


def encode(encoder: BertTextEncoder, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
    return encoder.trunk(encoder.stem(token_ids, mask), mask).embedding


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("stem_blocks", [0, 1, 3])
def test_an_embedding_is_the_pooler_output_of_transformers(stem_blocks: int) -> None:
    reference, encoder = build_reference(), build(stem_blocks=stem_blocks)
    encoder.load_pretrained(reference.state_dict())
    expected = reference(input_ids=TOKEN_IDS, attention_mask=MASK.long())
    encoded = encoder.trunk(encoder.stem(TOKEN_IDS, MASK), MASK)
    close(encoded.embedding, expected.pooler_output)
    close(encoded.tokens[MASK], expected.last_hidden_state[MASK])
    assert encoded.embedding.shape == (2, encoder.embedding_dim)
    close(encode(encoder, TOKEN_IDS[:1]), expected.pooler_output[:1])


@torch.inference_mode()
def test_padding_changes_nothing_and_its_ids_are_never_looked_at() -> None:
    encoder = build()
    alone = encode(encoder, TOKEN_IDS[1:, :3])
    other = TOKEN_IDS.masked_fill(~MASK, 5)
    close(encode(encoder, TOKEN_IDS, MASK)[1:], alone)
    close(encode(encoder, other, MASK)[1:], alone)
    assert not torch.allclose(encode(encoder, other)[1:], alone, atol=1e-4), "without a mask they are words"


@torch.inference_mode()
def test_word_order_matters() -> None:
    encoder = build()
    assert not torch.allclose(
        encode(encoder, torch.tensor([[2, 7, 8, 3]])), encode(encoder, torch.tensor([[2, 8, 7, 3]])), atol=1e-4
    )


def test_a_caption_beyond_the_context_is_our_mistake() -> None:
    with pytest.raises(AssertionError):
        build().stem(torch.ones(1, 17, dtype=torch.long))


def test_the_defaults_are_the_sizes_of_bert_base_uncased() -> None:
    with torch.device("meta"):
        encoder = BertTextEncoder(vocabulary_size=30_522)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 109_482_240


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["BertForPreTraining", "BertForMaskedLM"])
def test_weights_with_heads_are_read_if_they_have_a_pooler(kind: str) -> None:
    reference, encoder = build_reference(kind), build()
    if kind == "BertForMaskedLM":
        with pytest.raises(CheckpointError, match=r"2 missing \(pooler.dense.weight, pooler.dense.bias\)"):
            encoder.load_pretrained(reference.state_dict())
        return
    encoder.load_pretrained(reference.state_dict())
    expected = reference.bert(input_ids=TOKEN_IDS, attention_mask=MASK.long()).pooler_output
    close(encode(encoder, TOKEN_IDS, MASK), expected)


def test_old_names_and_saved_counters_are_understood() -> None:
    state = build_reference().state_dict()
    old = {
        f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for key, value in state.items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(512)[None]
    old["cls.predictions.bias"] = torch.zeros(40)
    assert not any(key in state for key in old)
    encoder = build()
    encoder.load_pretrained(old)
    assert all(torch.equal(encoder.bert.state_dict()[key], value) for key, value in state.items())


def test_weights_of_another_size_or_model_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"w.bin: .*word_embeddings.weight \(41, 24\) for \(40, 24\)"):
        build().load_pretrained(build_reference(vocab_size=41).state_dict(), source="w.bin")
    with pytest.raises(CheckpointError, match=r"position_embeddings.weight \(512, 48\) for \(512, 24\)"):
        build().load_pretrained(build_reference(hidden_size=48).state_dict())
    with pytest.raises(CheckpointError, match="left over"):
        build(depth=2).load_pretrained(build_reference().state_dict())
    with pytest.raises(CheckpointError, match=r"another architecture"):
        build().load_pretrained({"visual.proj": torch.ones(1)})


@pytest.mark.parametrize(("trained", "context"), [(512, 600), (20, 30), (512, 16), (20, 16), (600, 16)])
def test_positions_are_copied_and_only_stretched_where_captions_are_longer(trained: int, context: int) -> None:
    reference = build_reference(max_position_embeddings=trained)
    positions = reference.state_dict()["embeddings.position_embeddings.weight"]
    encoder = build(context_length=context)
    encoder.load_pretrained(reference.state_dict())
    found = encoder.bert.state_dict()["embeddings.position_embeddings.weight"]
    assert len(found) == max(512, context)
    if context <= trained:
        assert torch.equal(found[:context], positions[:context])
    else:
        ends = found[[0, context - 1]]
        close(ends, positions[[0, -1]])
        middle = (context - 1) // 2 * (trained - 1) / (context - 1)
        before = int(middle)
        close(found[(context - 1) // 2], positions[before].lerp(positions[before + 1], middle - before))
    encode(encoder, torch.full((1, context), 7))


def test_layers_hold_every_parameter_once_from_input_to_output() -> None:
    encoder = build()
    layers = encoder.layers()
    together = [parameter for layer in layers for parameter in layer]
    assert len(together) == len(set(together))
    assert set(together) == set(encoder.parameters())
    assert len(layers) == 5
    assert set(layers[0]) == set(encoder.bert.embeddings.parameters())
    assert set(layers[2]) == set(encoder.bert.encoder.layer[1].parameters())
    assert set(layers[4]) == set(encoder.bert.pooler.parameters())


def test_dropout_is_for_training_only_and_reaches_attention() -> None:
    encoder = build(dropout=0.5)
    assert torch.equal(encode(encoder, TOKEN_IDS, MASK), encode(encoder, TOKEN_IDS, MASK))
    assert not torch.equal(encode(encoder.train(), TOKEN_IDS, MASK), encode(encoder, TOKEN_IDS, MASK))
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert not torch.equal(encode(encoder, TOKEN_IDS, MASK), encode(encoder, TOKEN_IDS, MASK))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_blocks_give_the_same_gradients(dropout: float) -> None:
    encoder = build(dropout=dropout).train()
    gradients = []
    for checkpointed in (False, True):
        encoder.checkpoint_activations = checkpointed
        encoder.zero_grad()
        torch.manual_seed(3)
        encode(encoder, TOKEN_IDS, MASK).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in encoder.parameters()])  # type: ignore[union-attr]
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_only_training_recomputes_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def count(function: Any, block: nn.Module, *tensors: Tensor, use_reentrant: bool) -> Tensor:
        calls.append(block)
        return function(block, *tensors)

    monkeypatch.setattr("tbps_cli.encoders.bert.checkpoint", count)
    encoder = build(stem_blocks=2)
    encoder.checkpoint_activations = True
    encode(encoder, TOKEN_IDS, MASK)
    assert calls == []
    encode(encoder.train(), TOKEN_IDS, MASK)
    assert calls == list(encoder.bert.encoder.layer)


@pytest.mark.parametrize(
    ("options", "said"), [({"heads": 5}, "no multiple of 5 heads"), ({"stem_blocks": 4}, "more than the depth 3")]
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, int], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build(**options)


def write_config(folder: Path, **changes: object) -> Path:
    config = transformers.BertConfig(vocab_size=40, hidden_size=24, num_hidden_layers=3, num_attention_heads=2)
    content = {**config.to_dict(), "intermediate_size": 32, "hidden_dropout_prob": 0.2, **changes}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_the_sizes_of_a_folder_build_an_encoder_that_its_weights_fit(tmp_path: Path) -> None:
    sizes = bert_sizes(write_config(tmp_path))
    assert sizes == {
        "vocabulary_size": 40,
        "width": 24,
        "depth": 3,
        "heads": 2,
        "feedforward": 32,
        "dropout": 0.2,
    }
    BertTextEncoder(**sizes).load_pretrained(build_reference().state_dict())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta', and only 'bert' is read"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_size": "24"}, "hidden_size is '24', not a number"),
        ({"hidden_size": 10**12}, "not a number from 1 to 1,000,000"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"hidden_dropout_prob": 2}, "hidden_dropout_prob is 2"),
    ],
)
def test_a_config_of_anything_but_a_plain_bert_is_refused(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        bert_sizes(write_config(tmp_path, **changes))


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, '"x"', "\udcff"])
def test_a_damaged_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        bert_sizes(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        bert_sizes(tmp_path.parent)
