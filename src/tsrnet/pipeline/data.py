"""The data of a plan: videos, annotations and features, made where they are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tsrnet.core.errors import UserError
from tsrnet.datasets.availability import MANIFEST, Inventory
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.features.store import FeatureSource
from tsrnet.pipeline.config import Plan
from tsrnet.pipeline.features import prepare_features
from tsrnet.pipeline.sources import DrawnSettings, what_to_get
from tsrnet.synthetic.simulated import SimulatedStore, SimulationSettings, store_features


@dataclass(frozen=True)
class Companion:
    """What knowledge is transferred from: trimmed clips, their features, and {untrimmed: trimmed class}."""

    trimmed: VideoDataset
    store: FeatureSource
    class_map: Mapping[str, str]


@dataclass(frozen=True)
class Data:
    """The dataset and its features, and its trimmed companion where something is transferred.

    Both hold only videos that have features; `ground_truth` has all test videos by id.
    """

    untrimmed: VideoDataset
    store: FeatureSource
    companion: Companion | None
    ground_truth: Mapping[str, VideoRecord]


def prepare_data(plan: Plan) -> Data:
    """Videos, annotations and features, made where they are missing.

    With `plan.holdout`, training videos in place of the test videos.
    """
    data = _prepare_all(plan)
    if not plan.holdout:
        return data
    untrimmed = data.untrimmed.held_out(plan.holdout)
    return replace(data, untrimmed=untrimmed, ground_truth={record.id: record for record in untrimmed.test})


def _prepare_all(plan: Plan) -> Data:
    if isinstance(plan.features, SimulationSettings):
        return _simulate(plan, plan.features)
    found = plan.dataset.read()
    datasets = (found.untrimmed, found.trimmed) if found.trimmed else (found.untrimmed,)
    prepared = prepare_features(datasets, plan.features)
    _demand(plan, [inventory for _, inventory in prepared])
    (store, inventory), *others = prepared
    companion = None
    if others:
        clips, trimmed = others[0]
        companion = Companion(trimmed.usable, clips, found.class_map)
    everything = {record.id: record for record in found.untrimmed.test}
    return Data(inventory.usable, store, companion, everything)


def _simulate(plan: Plan, settings: SimulationSettings) -> Data:
    found = plan.dataset.read(rehearsal_seed=settings.seed)
    assert found.trimmed

    def source(videos: VideoDataset, canonical: Mapping[str, str], *, trimmed: bool) -> FeatureSource:
        drawn = SimulatedStore((*videos.train, *videos.test), settings, trimmed=trimmed, canonical=canonical)
        return (
            store_features(drawn, plan.streams, plan.features_root / videos.name) if settings.store else drawn
        )

    store = source(found.untrimmed, found.class_map, trimmed=False)
    companion = Companion(found.trimmed, source(found.trimmed, {}, trimmed=True), found.class_map)
    return Data(found.untrimmed, store, companion, {record.id: record for record in found.untrimmed.test})


def _demand(plan: Plan, inventories: Sequence[Inventory]) -> None:
    """UserError unless there is enough to train and test; else say how many videos are used."""
    drawn = isinstance(plan.dataset, DrawnSettings)
    left_out = [reason for one in inventories for reason in one.left_out.values()]
    if drawn and left_out:
        raise UserError(
            f"{len(left_out)} videos have no features (the others are done): "
            + "; ".join(left_out)
            + "; replace the files (the demo draws again what you delete) and give the same command again"
        )
    needed = [(one, one.usable.train) for one in inventories] + [(inventories[0], inventories[0].usable.test)]
    for one, videos in needed:
        if not videos:
            example = next(iter(one.left_out.values()), "none are listed")
            raise UserError(
                f"{one.summary()}, need some of each; e.g. {example}. {what_to_get(one.dataset.name)}"
            )
    for one in inventories:
        if one.left_out:
            print(f"{one.summary()}; {MANIFEST} beside the features gives the reason of each other")
