"""The error tree: everything that a user can cause.

    TbpsError
    ├── RecipeError          a recipe that cannot be read, or says something impossible
    ├── DataError            annotations, images or a data set folder
    ├── TrainingError        a training that cannot go on
    ├── CheckpointError      a run or checkpoint that is missing, damaged or foreign
    ├── FeatureError         an HDF5 feature file that is missing, damaged or foreign
    │   └── FeatureMismatchError   a feature file of another checkpoint
    ├── QueryError           a sentence that cannot be searched for
    ├── EngineError          a search engine that is down, slow, or of another gallery
    ├── DeviceError          a device or a precision that this machine does not have
    ├── OutputError          a place that cannot be written to
    └── DependencyError      a package that is absent or broken

A message names the place and the value, and ends with what to do. The command line
prints it and exits with 1; every other exception is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})\S*@")  # pathlib makes one slash of two


class TbpsError(Exception):
    """Something that the user can mend. Who asks, with which password, is not repeated of any address."""

    def __init__(self, message: object = "") -> None:
        super().__init__(_CREDENTIALS.sub(r"\1…@", str(message)))


class RecipeError(TbpsError):
    """A recipe cannot be read, or a value in it is not allowed."""


class DataError(TbpsError):
    """Annotations, images or a data set folder are missing or unusable."""


class TrainingError(TbpsError):
    """A training cannot go on, or cannot be taken up again."""


class CheckpointError(TbpsError):
    """A run or checkpoint is missing, damaged, or not ours."""


class FeatureError(TbpsError):
    """A feature file is missing, damaged, or not ours."""


class FeatureMismatchError(FeatureError):
    """A feature file was embedded with another checkpoint."""


class QueryError(TbpsError):
    """A sentence cannot be searched for."""


class EngineError(TbpsError):
    """A search engine does not answer, or holds something else than is asked of it."""


class DeviceError(TbpsError):
    """The machine lacks the device or the precision asked for."""


class OutputError(TbpsError):
    """Something cannot be written: disk full, read-only, or already there."""


class DependencyError(TbpsError):
    """A package is absent, broken, or too old."""
