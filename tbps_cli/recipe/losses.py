"""The losses of a recipe: a list, each of a kind, with its weight and its part of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tbps_cli.recipe.fields import Count, Positive, Section, Share


class LossSection(Section):
    """What is said of every loss; `from` and `until` are shares of the training."""

    kind: str
    weight: Positive = Field(1.0, description="beside other losses; one that acts alone is taken as it is")
    start: Share = Field(0.0, alias="from", description="share of the training that is done before it acts")
    until: Share = Field(1.0, description="share of the training after which it no longer acts")

    @model_validator(mode="after")
    def _acts_for_a_while(self) -> LossSection:
        if self.start >= self.until:
            raise ValueError(f"from {self.start:g} until {self.until:g} is no part of the training")
        return self


class ContrastiveSection(LossSection):
    """Keywords of `losses.contrastive.ContrastiveLoss`."""

    kind: Literal["contrastive"]
    temperature: Positive
    same_person: Literal["negative", "masked", "positive"] = Field(
        description="what another pair of the same person is; data.sampler person puts none into a batch"
    )


class WordsSection(LossSection):
    """Predicting words from images; keywords of `PhraseTable`."""

    kind: Literal["words"]
    fewest: Count = Field(30, description="images whose captions hold a word or pair of words, at least")
    most: Share = Field(0.5, description="share of the images whose captions hold it, at most")


def _check_together(losses: Sequence[LossSection]) -> Sequence[LossSection]:
    """Each kind once, and no part of the training in which nothing is learnt."""
    if not losses:
        raise ValueError("nothing is learnt without a loss")
    kinds = [loss.kind for loss in losses]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ValueError(f"{kind} is given twice; a loss is named by its kind")
    reached = 0.0
    for loss in sorted(losses, key=lambda loss: loss.start):
        if loss.start > reached:
            break
        reached = max(reached, loss.until)
    if reached < 1.0:
        then = min((loss.start for loss in losses if loss.start > reached), default=1.0)
        raise ValueError(
            f"no loss acts from {reached:g} to {then:g} of the training; set `from` or `until` of one of them "
            f"({', '.join(f'losses.{kind}' for kind in kinds)})"
        )
    return losses


AnyLoss = Annotated[ContrastiveSection | WordsSection, Field(discriminator="kind")]
Losses = Annotated[tuple[AnyLoss, ...], AfterValidator(_check_together)]
