"""The data of a plan: videos, annotations and features, made where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tsrnet.datasets.inventory import MANIFEST, Inventory
from tsrnet.datasets.records import Collection, VideoRecord
from tsrnet.datasets.simulated import SimulatedStore, SimulationSettings, store_features
from tsrnet.datasets.sources import DrawnSettings, what_to_get
from tsrnet.errors import UserError
from tsrnet.features.store import FeatureSource
from tsrnet.learning.feature_stage import prepare_features
from tsrnet.learning.plan import Plan


@dataclass(frozen=True)
class Data:
    """The dataset and its trimmed companion, the classes they share, and the features of each.

    Both hold only videos that have features; `ground_truth` has all test videos by id.
    """

    untrimmed: Collection
    trimmed: Collection
    counterpart: Mapping[str, str]
    untrimmed_store: FeatureSource
    trimmed_store: FeatureSource
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
    (store, inventory), (trimmed_store, trimmed_inventory) = prepare_features(
        (found.untrimmed, found.trimmed), plan.features
    )
    _demand(plan, inventory, trimmed_inventory)
    return Data(
        inventory.usable,
        trimmed_inventory.usable,
        found.counterpart,
        store,
        trimmed_store,
        {record.id: record for record in found.untrimmed.test},
    )


def _simulate(plan: Plan, settings: SimulationSettings) -> Data:
    found = plan.dataset.read(rehearsal_seed=settings.seed)
    stores: list[FeatureSource] = []
    for videos, trimmed, canonical in (
        (found.untrimmed, False, found.counterpart),
        (found.trimmed, True, {}),
    ):
        source = SimulatedStore((*videos.train, *videos.test), settings, trimmed=trimmed, canonical=canonical)
        folder = plan.features_root / videos.name
        stores.append(store_features(source, plan.streams, folder) if settings.store else source)
    everything = {record.id: record for record in found.untrimmed.test}
    return Data(found.untrimmed, found.trimmed, found.counterpart, stores[0], stores[1], everything)


def _demand(plan: Plan, inventory: Inventory, trimmed: Inventory) -> None:
    """UserError unless there is enough to train and test; else say how many videos are used."""
    drawn = isinstance(plan.dataset, DrawnSettings)
    left_out = {**inventory.left_out, **trimmed.left_out}
    if drawn and left_out:
        raise UserError(
            f"{len(left_out)} videos have no features (the others are done): "
            + "; ".join(left_out.values())
            + "; replace the files (the demo draws again what you delete) and give the same command again"
        )
    needed = [(inventory, inventory.usable.train), (inventory, inventory.usable.test)]
    if plan.transfer.active:
        needed.append((trimmed, trimmed.usable.train))
    for one, videos in needed:
        if not videos:
            example = next(iter(one.left_out.values()), "none are listed")
            raise UserError(
                f"{one.summary()}, need some of each; e.g. {example}. {what_to_get(one.collection.name)}"
            )
    for one in (inventory, trimmed):
        if one.left_out:
            print(f"{one.summary()}; {MANIFEST} beside the features gives the reason of each other")
