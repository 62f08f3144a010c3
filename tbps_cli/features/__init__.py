"""Features on disk: the HDF5 file that one stage writes for the next to read.

This docstring is the one definition of the file, format 2 (N images, M captions, D dimensions):

    /images/features     (N, D) float16   unit rows, contiguous, aligned to 4096 bytes: can be memory-mapped
    /images/checksums    (ceil(N / 4096),) uint32   CRC-32 of each 4096 rows of features
    /images/name_bytes   (B,)   uint8     paths of the images below `root`, UTF-8 without NUL, one after the other
    /images/name_ends    (N,)   int64     where each name ends in name_bytes
    /images/person_ids   (N,)   int64     -1 when unknown
    /images/hashes       (N, 16) uint8    optional: BLAKE2b-128 of the image file, all zero where unknown
    /images/columns/NAME                  optional metadata: (N,) float64, NaN where unknown,
                                          or text as NAME_bytes and NAME_ends, empty where unknown;
                                          `person_name` is what the data set calls the person of the id
    /captions/...                         features to person_ids, as above; the names are the captions
    /captions/image_rows (M,)   int64     the row its caption was written for, -1 when unknown
    /skipped/...                          optional: name_bytes, name_ends, reason_bytes and reason_ends
                                          of images that could not be read

Everything but `features` carries HDF5's fletcher32; nothing is compressed. A file has images or captions or
both, and neither is empty. Attributes of the file: `format_version` (integer) and the fields of `FeatureInfo`
(strings; `precision` is absent where it is unknown). The bytes of a file depend on its rows and its `FeatureInfo`
alone, not on how they were added.

Format 1 is read as well: its names are variable-length strings (`/images/names`), its features lie in chunks
with fletcher32, and it has neither checksums, hashes, columns nor skipped images.

A file that exists is whole: it grows under a temporary name beside its place, is synced, and
then renamed. What is read is taken for hostile: only plain datasets of the file itself are
followed, and a claimed size must fit into the file before memory is asked for.

Not known here: what a checkpoint or a recipe is, how an image becomes a row, and how rows are
compared. Rows are checked to be unit vectors and kept as they are.
"""

from __future__ import annotations

from tbps_cli.features.combine import join_precisions, merge, select
from tbps_cli.features.layout import PERSON_NAME, FeatureInfo
from tbps_cli.features.reader import FeatureFile, SkippedImages, open_features
from tbps_cli.features.table import Column, FeatureTable, Finding
from tbps_cli.features.texts import Texts
from tbps_cli.features.writer import FeatureWriter

__all__ = [
    "PERSON_NAME",
    "Column",
    "FeatureFile",
    "FeatureInfo",
    "FeatureTable",
    "FeatureWriter",
    "Finding",
    "SkippedImages",
    "Texts",
    "join_precisions",
    "merge",
    "open_features",
    "select",
]
