"""Conversations that can be trained on, chosen before training starts."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ski_lvlm.lvlm.sample_index import sample_index
from ski_lvlm.lvlm.sample_measures import refuse_absent
from ski_lvlm.lvlm.samples import InstructDataset

logger = logging.getLogger(__name__)


def drop_unusable(
    dataset: InstructDataset, *, skip_missing: bool = False, folders: Sequence[Path] = ()
) -> InstructDataset:
    """Check every conversation before training starts, and return the dataset of those that can be trained on.

    Conversations that lose their whole answer to truncation (at most 1 %) are dropped and, with `skip_missing`, those
    whose clips have no features. Both are counted in the log, and so are those that lose a part of their answers.
    `folders` may hold the measures of an earlier start.

    Raises:
        ValueError: clips without features, two clips with one file, an answer without a token, or more than 1 %
            truncated away.
    """
    index, limit = sample_index(dataset, folders, skip_missing=skip_missing), dataset.settings.limit
    if not skip_missing:
        refuse_absent(dataset, index.is_absent)
    present = int((~index.is_absent).sum())
    is_usable = index.trained_within > 0
    truncated = present - int(is_usable.sum())
    if truncated > 0.01 * present:
        raise ValueError(
            f"{truncated} of {present} conversations have no trained token within {limit.tokens} tokens (at most "
            f"1 % may); {limit.remedy}"
        )
    for reason, count in (("without features", len(dataset) - present), ("truncated before their answer", truncated)):
        if count:
            logger.warning("skipped %d conversations %s", count, reason)
    shortened = np.flatnonzero(is_usable & (index.trained_within < index.trained))
    if len(shortened):
        logger.warning(
            "%d conversations are longer than %d tokens and lose the end of their answers, first %s; %s",
            len(shortened),
            limit.tokens,
            [dataset.conversations[int(k)].id for k in shortened[:5]],
            limit.remedy,
        )
    index.locate_clips(dataset.features)
    return dataset.subset(np.flatnonzero(is_usable), index.lengths, index.bare_lengths)
