"""A model card: what a model is, what it was trained on, how good it was, and what it is not for.

Markdown with the header that model hubs read. Knows no checkpoint and no recipe: it shows what it is handed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tbps_cli.report.text import clean, percent_text

_RESPONSIBLE = """\
Do not use it to track, identify or profile people without their knowledge and a legal ground; not for surveillance, law
enforcement decisions, or anything where a mistaken hit hurts someone. A score puts images in an order; it identifies
nobody. What the model was not trained on it gets wrong, for some groups of people more than for others.
"""


@dataclass(frozen=True)
class ShownModel:
    """What a model card says."""

    name: str
    architecture: str
    dataset: str
    licence: str  # of the data set, in words
    parameters: int
    embedding_dim: int
    epoch: int | None
    measured: Mapping[str, float]  # fractions, on val
    recipe: str  # YAML
    fingerprint: str
    version: str
    files: tuple[str, ...]


def write_card(model: ShownModel) -> str:
    """The card as Markdown."""
    rows = [f"| {name} | {percent_text(value)} |" for name, value in model.measured.items()]
    measured = (
        "\n".join(["| measure | value |", "| --- | --- |", *rows])
        if rows
        else "Nothing: this checkpoint was not measured on a val split."
    )
    files = "".join(f"- `{clean(name)}`\n" for name in model.files)
    epoch = f", epoch {model.epoch}" if model.epoch is not None else ""
    return f"""\
---
library_name: tbps
tags:
- text-based-person-search
- image-text-retrieval
---

# {clean(model.name)}

Finds images of people by a sentence: an image and a text Transformer ({clean(model.architecture)}) that share
one space of {model.embedding_dim} dimensions, {model.parameters:,} parameters. Trained with [tbps](https://arxiv.org/abs/2311.09084)
{clean(model.version)} on {clean(model.dataset)}{epoch}.

```bash
tbps embed --checkpoint THIS_FOLDER --images crops/ --out g.h5
tbps search "woman in red coat" --gallery g.h5
```

## Measured on the val split

{measured}
## Licence of the training data

{clean(model.dataset)}: {clean(model.licence)}. Weights that were trained on data carry its conditions.

## Not for

{_RESPONSIBLE}
## Files

{files}
Fingerprint `{model.fingerprint}`: sha256 over weights, vocabulary and model; galleries name it.

## {"Recipe" if "training:" in model.recipe else "Model"}

```yaml
{model.recipe.rstrip()}
```
"""
