"""CLIP's text halves: equal to open_clip, whatever pads a caption, and with other contexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tbps_cli.encoders.clip import ClipImageEncoder, ClipTextEncoder, split_clip_weights
from tbps_cli.encoders.clip import blocks as clip_blocks
from tbps_cli.errors import CheckpointError, RecipeError

Build = Callable[..., Any]
CAUSAL = ["tiny-vit", "tiny-vit-quickgelu", "tiny-scaled"]
READS_PADDING = ["tiny-mobile-s", "tiny-siglip", "tiny-clipa"]
END = 49_407


def load(pair: nn.Module, model: str, **options: Any) -> ClipTextEncoder:
    torch.manual_seed(0)
    encoder = ClipTextEncoder(model=model, **options).eval()
    encoder.load_pretrained(split_clip_weights(pair.state_dict(), model)[1])
    return encoder


def encode(encoder: ClipTextEncoder, token_ids: Tensor, mask: Tensor | None = None) -> Tensor:
    return encoder.trunk(encoder.stem(token_ids, mask), mask).embedding


def draw_captions(model: str, lengths: list[int], context: int = 12) -> tuple[Tensor, Tensor]:
    """Ids and mask as the tokenizer of the family makes them, padded to the context."""
    token_ids = torch.zeros(len(lengths), context, dtype=torch.int64)
    mask = torch.zeros(len(lengths), context, dtype=torch.bool)
    for row, length in enumerate(lengths):
        token_ids[row, :length] = torch.randint(2, 200, (length,))
        token_ids[row, length - 1] = 1 if model == "tiny-siglip" else END
        mask[row, :length] = True
    return token_ids, (mask if model in [*CAUSAL, "tiny-mobile-s"] else torch.ones_like(mask))


@torch.inference_mode()
@pytest.mark.parametrize("model", [*CAUSAL, *READS_PADDING])
@pytest.mark.parametrize("stem_blocks", [0, 1, 3])
def test_an_embedding_is_open_clips_own(model: str, stem_blocks: int, tiny_clip: Build) -> None:
    pair = tiny_clip(model)
    encoder = load(pair, model, stem_blocks=stem_blocks)
    token_ids, mask = draw_captions(model, [3, 12, 7])
    expected = pair.encode_text(token_ids)
    torch.testing.assert_close(encode(encoder, token_ids, mask), expected, atol=1e-5, rtol=1e-5)
    assert encoder.embedding_dim == expected.shape[1]


@torch.inference_mode()
def test_an_eos_pooled_half_is_pooled_where_its_first_end_is(tiny_clip: Build, clip_configs: Any) -> None:
    import json

    import open_clip

    if "eos_id" not in open_clip.CLIPTextCfg.__dataclass_fields__:
        pytest.skip("this open_clip pools no eos")
    config = json.loads((clip_configs / "tiny-vit.json").read_text())
    config["text_cfg"].update(pool_type="eos", eos_id=2)
    (clip_configs / "tiny-eos.json").write_text(json.dumps(config))
    open_clip.add_model_config(clip_configs)
    pair = tiny_clip("tiny-eos")
    token_ids = torch.tensor([[0, 7, 9, 2, 1, 1], [0, 5, 2, 1, 1, 1]])
    padded = torch.nn.functional.pad(token_ids, (0, 6), value=1)
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 3 + [False] * 3])
    expected = pair.encode_text(padded)
    torch.testing.assert_close(encode(load(pair, "tiny-eos"), token_ids, mask), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("model", CAUSAL)
def test_padding_cannot_change_a_causal_embedding(model: str, tiny_clip: Build) -> None:
    encoder = load(tiny_clip(model), model)
    token_ids, mask = draw_captions(model, [4])
    alone = encode(encoder, token_ids[:, :4])
    for length in (4, 5, 9, 12):
        noise = torch.where(mask, token_ids, torch.randint(0, END + 1, token_ids.shape))[:, :length]
        torch.testing.assert_close(encode(encoder, noise, mask[:, :length]), alone, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("model", READS_PADDING)
def test_a_half_that_reads_its_padding_gets_all_of_it(model: str, tiny_clip: Build) -> None:
    encoder = load(tiny_clip(model), model)
    token_ids, mask = draw_captions(model, [4])
    other = torch.where(torch.arange(12) < 4, token_ids, 5)
    assert not torch.allclose(encode(encoder, token_ids, mask), encode(encoder, other, mask), atol=1e-3)
    with pytest.raises(AssertionError, match="reads 12 tokens, not 6"):
        encoder.stem(token_ids[:, :6], mask[:, :6])


@torch.inference_mode()
def test_mixed_captions_are_pooled_at_the_end_of_the_longer_one(tiny_clip: Build) -> None:
    encoder = load(tiny_clip("tiny-vit"), "tiny-vit", stem_blocks=1)
    token_ids, mask = draw_captions("tiny-vit", [3, 7], context=9)
    hidden = encoder.stem(token_ids, mask)
    mixed = 0.3 * hidden[:1] + 0.7 * hidden[1:]
    union = mask[:1] | mask[1:]
    expected = encoder.trunk(mixed[:, :7]).embedding  # as if nothing had been padded
    torch.testing.assert_close(encoder.trunk(mixed, union).embedding, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(encoder.trunk(mixed).embedding, expected, atol=1e-3)


@torch.inference_mode()
def test_a_longer_context_lies_between_the_positions_of_the_shorter(tiny_clip: Build) -> None:
    pair = tiny_clip("tiny-vit")
    encoder = load(pair, "tiny-vit", context_length=30)
    old = pair.positional_embedding
    slow = []
    for place in range(30):
        at = place * 11 / 29
        left = min(int(at), 10)
        slow.append(old[left] * (1 - (at - left)) + old[left + 1] * (at - left))
    longer = tiny_clip("tiny-long")
    longer.load_state_dict({**pair.state_dict(), "positional_embedding": torch.stack(slow)})
    token_ids, mask = draw_captions("tiny-vit", [25, 4], context=30)
    expected = longer.encode_text(token_ids)
    torch.testing.assert_close(encode(encoder, token_ids, mask), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_shorter_context_keeps_the_first_positions(tiny_clip: Build) -> None:
    pair = tiny_clip("tiny-vit")
    token_ids, mask = draw_captions("tiny-vit", [6])
    short = encode(load(pair, "tiny-vit", context_length=6), token_ids[:, :6], mask[:, :6])
    torch.testing.assert_close(short, pair.encode_text(token_ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", [*CAUSAL, *READS_PADDING])
def test_layers_are_all_parameters_once_from_input_to_output(model: str, tiny_clip: Build) -> None:
    encoder = ClipTextEncoder(model=model)
    groups = encoder.layers()
    assert sorted(id(parameter) for group in groups for parameter in group) == sorted(map(id, encoder.parameters()))
    names = {id(parameter): name for name, parameter in encoder.net.named_parameters()}
    named = [[names[id(parameter)] for parameter in group] for group in groups]
    assert set(named[0]) == {"positional_embedding", "token_embedding.weight"}
    for number, group in enumerate(named[1:-1]):
        assert group
        assert all(name.startswith(f"transformer.resblocks.{number}.") for name in group)
    assert all(name.startswith(("ln_final", "text_projection")) for name in named[-1])


def test_recomputed_blocks_have_the_same_gradients(tiny_clip: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    recomputed = []
    real = clip_blocks.checkpoint
    monkeypatch.setattr(clip_blocks, "checkpoint", lambda *a, **k: (recomputed.append(1), real(*a, **k))[1])
    encoder = load(tiny_clip("tiny-vit"), "tiny-vit").train()
    token_ids, mask = draw_captions("tiny-vit", [3, 8])

    def gradients() -> list[Tensor]:
        embeddings = encode(encoder, token_ids, mask)
        return list(torch.autograd.grad(embeddings.square().sum(), list(encoder.parameters())))

    expected = gradients()
    assert not recomputed
    encoder.checkpoint_activations = True
    torch.testing.assert_close(gradients(), expected)
    assert len(recomputed) == 3


def test_the_image_half_is_not_built(tiny_clip: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("open_clip.model._build_vision_tower")
    ClipTextEncoder(model="tiny-vit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "tiny-wit"}, r"no model 'tiny-wit'. It has .*tiny-vit"),
        ({"model": "tiny-coca"}, "not the plain Transformer of open_clip"),
        ({"model": "roberta-ViT-B-32"}, "not the plain Transformer of open_clip"),
        ({"stem_blocks": 4}, "stem_blocks is 4, and tiny-vit has 3 blocks"),
        ({"context_length": 2}, "context_length is 2, and it needs at least 3"),
        ({"model": "tiny-siglip", "context_length": 11}, "context_length is 11, and it needs at least 12"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(options: dict[str, Any], message: str, tiny_clip: Build) -> None:
    with pytest.raises(RecipeError, match=message):
        ClipTextEncoder(**{"model": "tiny-vit", **options})


def test_weights_of_another_model_are_refused_with_the_keys(tiny_clip: Build) -> None:
    with pytest.raises(CheckpointError, match=r"text half of tiny-siglip.*token_embedding.weight"):
        load(tiny_clip("tiny-vit"), "tiny-siglip")


@pytest.mark.parametrize(
    "model", ["ViT-B-16", "ViT-B-16-SigLIP2-256", "EVA02-B-16", "MobileCLIP-S1", "PE-Core-B-16", "RN50"]
)
def test_the_halves_of_real_models_have_all_keys_of_open_clips_pair(model: str) -> None:
    import open_clip

    if model not in open_clip.list_models():
        pytest.skip(f"this open_clip has no {model}")
    config = open_clip.get_model_config(model)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    size = config["vision_cfg"]["image_size"]
    with torch.device("meta"):
        state = kind(**config).state_dict()
        image = ClipImageEncoder(model=model, image_height=size, image_width=size).tower.net
        text = ClipTextEncoder(model=model).net
    for tensors, net in zip(split_clip_weights(state, model), (image, text), strict=True):
        expected = {key: tensor.shape for key, tensor in net.state_dict().items()}
        assert {key: tensor.shape for key, tensor in tensors.items()} == expected


def test_the_pair_of_vit_b_16_has_its_149_620_736_parameters() -> None:
    with torch.device("meta"):
        halves = (
            ClipImageEncoder(model="ViT-B-16", image_height=224, image_width=224),
            ClipTextEncoder(model="ViT-B-16"),
        )
    assert sum(parameter.numel() for half in halves for parameter in half.parameters()) == 149_620_736
