"""Features on disk: the HDF5 file that one stage writes and the next one reads.

This docstring is the one definition of the file (N images, M captions, D dimensions):

    /images/features     (N, D) float16   unit rows, fletcher32
    /images/names        (N,)   utf-8     path of the image below `root`, variable length
    /images/person_ids   (N,)   int64     -1 when unknown, fletcher32
    /captions/...                         the same; the names are the captions
    /captions/image_rows (M,)   int64     the row its caption was written for, -1 when unknown, fletcher32

A file has at least one of the two groups, and no group is empty. Attributes of the file:
`format_version` (integer) and the fields of `FeatureInfo` (strings). Nothing is compressed.
HDF5 cannot checksum variable-length strings, so the names alone go without.

A file that exists is whole: it grows under a temporary name beside its place, is synced, and
then renamed. What is read is taken for hostile: only plain datasets of the file itself are
followed, and a claimed size must fit into the file before memory is asked for.

Not known here: what a checkpoint or a recipe is, how an image becomes a row, and how rows are
compared. Rows are checked to be unit vectors and never normalised.
"""

from __future__ import annotations

from tbps_cli.features.layout import FeatureInfo
from tbps_cli.features.reader import FeatureFile, FeatureTable, open_features
from tbps_cli.features.writer import FeatureWriter

__all__ = ["FeatureFile", "FeatureInfo", "FeatureTable", "FeatureWriter", "open_features"]
