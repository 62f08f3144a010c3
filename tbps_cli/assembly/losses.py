"""The losses of a recipe -> the objective of a training: one function a kind.

To add a loss: the loss with its `Term` in `losses/x.py`; its section in `recipe/losses.py`, and there
in the union of sections; here a builder, and its line in BUILDERS. A term that needs an encoder takes
a bound method, as the contrastive one takes `dual.normalise`: an attribute would make the encoder's
parameters its own, and they would be learnt twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tbps_cli.data.records import PersonRecord
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.words import split_words
from tbps_cli.errors import RecipeError
from tbps_cli.losses.contrastive import ContrastiveLoss, ContrastiveTerm
from tbps_cli.losses.term import Term
from tbps_cli.losses.words import WordLoss, WordTerm
from tbps_cli.recipe import Recipe
from tbps_cli.recipe.losses import ContrastiveSection, LossSection, WordsSection
from tbps_cli.training.batches.phrases import PhraseTable
from tbps_cli.training.objective import Objective, ScheduledTerm


def build_objective(recipe: Recipe, records: Sequence[PersonRecord], dual: DualEncoder) -> Objective:
    """What a batch costs; its words, where the recipe predicts any, are those of the records.

    Raises RecipeError, DataError.
    """
    terms: dict[str, ScheduledTerm] = {}
    for section in recipe.losses:
        term = BUILDERS[section.kind](section, recipe, records, dual)
        if term.needs == "rows" and recipe.feature_mixup is not None:
            raise RecipeError(
                f"{recipe.name}: losses.{section.kind} looks at the tokens of one pair, and feature_mixup mixes those "
                "of two. Leave one of the two out."
            )
        terms[section.kind] = ScheduledTerm(term, section.weight, section.start, section.until)
    objective = Objective(terms)
    assert not {*objective.parameters()} & {*dual.parameters()}, "a term holds an encoder: hand it a bound method"
    return objective


def _build_contrastive(
    section: ContrastiveSection, recipe: Recipe, records: Sequence[PersonRecord], dual: DualEncoder
) -> Term:
    has_two = recipe.feature_mixup is not None and recipe.feature_mixup.target == "two"
    return ContrastiveTerm(ContrastiveLoss(**_keywords(section)), dual.normalise, two_targets=has_two)


def _build_words(section: WordsSection, recipe: Recipe, records: Sequence[PersonRecord], dual: DualEncoder) -> Term:
    table = PhraseTable(records, split_words, **_keywords(section))
    return WordTerm(WordLoss(recipe.embedding_dim, table.frequencies), table.lookup)


def _keywords(section: LossSection) -> dict[str, Any]:
    """What a section says of its own loss."""
    return section.model_dump(exclude=set(LossSection.model_fields))


BUILDERS: dict[str, Callable[[Any, Recipe, Sequence[PersonRecord], DualEncoder], Term]] = {
    "contrastive": _build_contrastive,
    "words": _build_words,
}
