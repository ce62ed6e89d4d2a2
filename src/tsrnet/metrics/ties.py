"""How much another order of ties could change a mean average precision.

The order of detections with equal scores, and of ground truths that a detection overlaps equally, depends on
a sort that differs between processors. This file bounds the effect of all these orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np

from tsrnet.metrics.detection import Bools, Floats, Ints, Matches, Segments, pairs_of_groups, tiou

_MOST_STATES = 1000
_MOST_STEPS = 200_000
"""Beyond either, ties of a video and class get a wider bound that is fast: all that is possible."""
Bits = int
"""A set of ground truths of a video and class."""
Option = tuple[float, Bits, int]
"""Minus the tIoU, the ground truth, and its kind. All detections overlap ground truths of one kind equally,
so it does not matter which of them is taken."""


def tie_sensitivity(matches: Matches, truth: Segments, thresholds: Floats) -> Floats:
    """A bound on the change of the mAP at each threshold by any order of ties, (thresholds,).

    AP rises with the number of true positives up to each rank. So it is bounded by the largest and smallest
    numbers up to each score, with the true positives first and last among detections of equal scores.
    """
    least, most = matches.true, matches.true  # an array each
    steps_left = _MOST_STEPS
    for rows, overlap in _groups_with_ties(matches.detections, truth, float(thresholds.min())):
        near = overlap.max(axis=1)[:, None] >= thresholds
        steps_left -= int(near.sum())
        if steps_left <= 0:
            least[rows], most[rows] = False, near & (near.cumsum(axis=0) <= overlap.shape[1])
            continue
        score, overlaps = matches.detections.score[rows].tolist(), overlap.tolist()
        kinds = np.unique(overlap, axis=1, return_inverse=True)[1].tolist()
        for column, threshold in enumerate(thresholds.tolist()):
            options = {
                i: found for i, row in enumerate(overlaps) if (found := _options(row, kinds, threshold))
            }
            for members in _independent(options):
                blocks = [list(block) for _, block in groupby(members, key=score.__getitem__)]
                if len(blocks) == len(members) and not any(_has_equal(options[i]) for i in members):
                    continue
                low, high, steps = _bounds(blocks, options, steps_left)
                steps_left -= steps
                least[rows[members], column] = most[rows[members], column] = False
                least[rows[low], column] = most[rows[high], column] = True
    change = np.zeros(len(thresholds))
    actual = matches.average_precisions()
    for sign, hits in ((-1, least), (1, most)):
        arranged = matches.average_precisions(_arranged(hits, matches, sign))
        change = np.maximum(change, sign * np.mean([arranged[c] - actual[c] for c in actual], axis=0))
    return change


def _arranged(true: Bools, matches: Matches, sign: int) -> Bools:
    """Hits with the true ones first (sign 1) or last (-1) among equal scores of a class."""
    score, label = matches.detections.score, matches.detections.label
    if not len(score):
        return true
    starts = np.flatnonzero(np.r_[True, (score[1:] != score[:-1]) | (label[1:] != label[:-1])])
    sizes = np.diff(np.r_[starts, len(score)])
    place = np.arange(len(score)) - np.repeat(starts, sizes)
    if sign < 0:
        place = np.repeat(sizes, sizes) - 1 - place
    hits = np.repeat(np.add.reduceat(true, starts, axis=0, dtype=np.int64), sizes, axis=0)
    arranged: Bools = place[:, None] < hits
    return arranged


def _groups_with_ties(detections: Segments, truth: Segments, lowest: float) -> Iterator[tuple[Ints, Floats]]:
    """Rows and tIoUs (rows, ground truths) of each video and class with ties and several ground truths."""
    for found, gt, tied in pairs_of_groups(detections, truth, lowest):
        if gt.shape[1] < 2:
            continue
        score = detections.score[found]
        equal = (score[:, 1:] == score[:, :-1]) & (found[:, 1:] >= 0)
        for group in np.flatnonzero((equal.any(axis=1) | tied.any(axis=1)) & (gt[:, 1] >= 0)):
            rows, targets = found[group][found[group] >= 0], gt[group][gt[group] >= 0]
            start_s, end_s = detections.start_s[rows, None], detections.end_s[rows, None]
            yield rows, tiou(start_s, end_s, truth.start_s[targets], truth.end_s[targets])


def _options(overlap: list[float], kinds: list[int], threshold: float) -> list[Option]:
    """The ground truths that a detection may take, the best first."""
    return sorted((-value, 1 << j, kinds[j]) for j, value in enumerate(overlap) if value >= threshold)


def _has_equal(options: list[Option]) -> bool:
    return len({value for value, _, _ in options}) < len({kind for _, _, kind in options})


def _independent(options: Mapping[int, list[Option]]) -> list[list[int]]:
    """The detections in groups that share no ground truth with each other, each group in order.

    Groups with one ground truth are left out: the first detection takes it, whichever it is.
    """
    groups: list[tuple[Bits, list[int]]] = []
    for i, found in options.items():
        bits, members = sum(bit for _, bit, _ in found), [i]
        for group in [group for group in groups if group[0] & bits]:
            groups.remove(group)
            group[1].extend(members)  # not a copy: all may be one group
            bits, members = bits | group[0], group[1]
        groups.append((bits, members))
    return [sorted(members) for bits, members in groups if bits.bit_count() > 1]


def _bounds(
    blocks: list[list[int]], options: Mapping[int, list[Option]], most_steps: int
) -> tuple[list[int], list[int], int]:
    """Hits with the fewest and with the most true positives up to each score, and the steps taken.

    `blocks`: ranked detections of one video and class, those of equal scores together; the place of a hit
    among them has no meaning.
    """
    fewest: list[int] = []
    most: list[int] = []
    num_targets = len({bit for block in blocks for i in block for _, bit, _ in options[i]})
    states = {0}
    steps = 0
    for block in blocks:
        if states:
            states, used = _after(block, states, options, most_steps - steps)
            steps += used
        possible = [len(fewest), min(len(most) + len(block), num_targets)]
        counts = [taken.bit_count() for taken in states] or possible
        fewest += block[: min(counts) - len(fewest)]
        most += block[: max(counts) - len(most)]
    return fewest, most, steps


def _after(
    block: list[int], states: set[Bits], options: Mapping[int, list[Option]], most_steps: int
) -> tuple[set[Bits], int]:
    """What may be taken after detections of equal scores, in any order; empty if it is too much to follow."""
    steps = 0
    if len(block) * (len(block) - 1) // 2 > _MOST_STATES:  # so many after two of them
        return set(), len(block)
    reached = {(taken, frozenset(block)) for taken in states}
    for _ in block:
        reached = {
            (taken | bit, waiting - {one})
            for taken, waiting in reached
            for one in waiting
            for bit in _best(options[one], taken)
        }
        steps += len(reached)
        if len(reached) > _MOST_STATES or steps > most_steps:
            return set(), steps
    return {taken for taken, _ in reached}, steps


def _best(options: list[Option], taken: Bits) -> list[Bits]:
    """The free ground truths of the largest tIoU, one of which is taken; 0 if none is free."""
    free = [option for option in options if not taken & option[1]]
    return list({kind: bit for value, bit, kind in free if value == free[0][0]}.values()) or [0]
