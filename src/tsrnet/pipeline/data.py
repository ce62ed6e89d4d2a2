"""The data of a run: videos, annotations and features, made where they are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tsrnet.core.errors import UserError
from tsrnet.core.wording import counted
from tsrnet.datasets.availability import MANIFEST, Availability
from tsrnet.datasets.datamodule import VideoDataModule
from tsrnet.datasets.records import VideoDataset, VideoRecord
from tsrnet.datasets.snippet_sampler import PLAIN_BATCHES, BatchSettings, SamplingSettings, SnippetSampler
from tsrnet.features.store import FeatureSource, FeatureStore
from tsrnet.pipeline.config import RunConfig
from tsrnet.pipeline.features import ExtractionConfig, ImportedFeatures, find_stores, prepare_features
from tsrnet.pipeline.sources import LABELS, DrawnSettings, what_to_get
from tsrnet.synthetic.simulated import SimulatedStore, SimulationSettings, store_features, stored_features
from tsrnet.video.snippet_images import SnippetImages

_REMARKS = 5
"""Further remarks are in the manifest only."""


@dataclass(frozen=True)
class RunData:
    """The videos and their features; those of the trimmed clips, too, if knowledge is transferred.

    `class_map`: class -> class of the trimmed clips that shows the same action.
    """

    untrimmed: Availability
    features: FeatureSource
    protocol: str
    trimmed: Availability | None = None
    trimmed_features: FeatureSource | None = None
    class_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def test_records(self) -> dict[str, VideoRecord]:
        """All annotated test videos by id, also those without features."""
        return {record.id: record for record in self.untrimmed.dataset.test}

    def module(
        self,
        stream: str,
        *,
        batch_size: int,
        seed: int,
        paired: bool = False,
        shared_classes: bool = False,
        sampling: SamplingSettings | None = None,
        batches: BatchSettings = PLAIN_BATCHES,
    ) -> VideoDataModule:
        """The DataModule of a stream; arguments as for `VideoDataModule`.

        `paired`: with the clips that knowledge is transferred from. `shared_classes`: only the classes that
        the clips show, too, and their videos. `sampling`: pixels of some snippets in place of features.
        """
        videos = self.untrimmed
        if shared_classes:
            videos = Availability(self.untrimmed.usable.of_classes(tuple(self.class_map)))
        common: dict[str, Any] = {"stream": stream, "batch_size": batch_size, "seed": seed}
        trimmed = None
        if paired and self.trimmed and self.trimmed_features:
            sampler = _sampler(self.trimmed_features, stream, sampling)
            trimmed = VideoDataModule(self.trimmed, self.trimmed_features, sampler=sampler, **common)
        return VideoDataModule(
            videos,
            self.features,
            trimmed=trimmed,
            overlap=self.class_map if paired else None,
            protocol=self.protocol,
            sampler=_sampler(self.features, stream, sampling),
            batches=batches,
            **common,
        )


def _sampler(source: FeatureSource, stream: str, settings: SamplingSettings | None) -> SnippetSampler | None:
    if settings is None or not isinstance(source, FeatureStore):
        return None
    return SnippetSampler(SnippetImages(source.folder, stream), stream, settings)


def prepare_data(config: RunConfig, *, make: bool = True) -> RunData:
    """Make the missing videos, annotations and features; without `make`, nothing is written.

    With `holdout`, that share of the training videos takes the place of the test videos.
    """
    if isinstance(config.features, SimulationSettings):
        data = _simulate(config, config.features, make=make)
    else:
        data = _extract(config, config.features, make=make)
    if config.holdout:
        data = replace(data, untrimmed=Availability(data.untrimmed.usable.held_out(config.holdout)))
    for record in data.untrimmed.usable.test:  # unknown times would end the run after the training
        data.features.time_grid(record.id, 1, record.duration_s)
    return data


def _extract(config: RunConfig, features: ExtractionConfig | ImportedFeatures, *, make: bool) -> RunData:
    found = config.dataset.read(make=make)
    for one in found.datasets:
        _print_understood(one)
    if make and isinstance(features, ExtractionConfig):
        prepared = prepare_features(found.datasets, features)
    else:
        prepared = find_stores(found.datasets, features, manifest=make)
    _demand([available for _, available in prepared], drawn=isinstance(config.dataset, DrawnSettings))
    (store, untrimmed), *others = prepared
    clips, trimmed = others[0] if others else (None, None)
    return RunData(untrimmed, store, config.protocol, trimmed, clips, found.class_map)


def _simulate(config: RunConfig, settings: SimulationSettings, *, make: bool) -> RunData:
    found = config.dataset.read(rehearsal_seed=settings.seed, make=make)
    _print_understood(found.untrimmed)

    def source(videos: VideoDataset, canonical: Mapping[str, str], *, trimmed: bool) -> FeatureSource:
        drawn = SimulatedStore((*videos.train, *videos.test), settings, trimmed=trimmed, canonical=canonical)
        if not settings.store:
            return drawn
        folder = config.paths.features / videos.name
        return store_features(drawn, config.streams, folder) if make else stored_features(drawn, folder)

    return RunData(
        Availability(found.untrimmed),
        source(found.untrimmed, found.class_map, trimmed=False),
        config.protocol,
        Availability(found.trimmed) if found.trimmed else None,
        source(found.trimmed, {}, trimmed=True) if found.trimmed else None,
        found.class_map,
    )


def _print_understood(dataset: VideoDataset) -> None:
    if dataset.understood:
        print(f"{dataset.name}: {dataset.understood}")
    shown = dataset.remarks if dataset.name.startswith(LABELS) else ()  # the user made these annotations
    for remark in shown[:_REMARKS]:
        print(f"{dataset.name}: {remark}")
    if more := len(dataset.remarks) - len(shown[:_REMARKS]):
        remarks = counted(more, "more remark" if shown else "remark")
        print(f"{dataset.name}: {remarks} on the annotations, see {MANIFEST}")


def _demand(availabilities: Sequence[Availability], *, drawn: bool) -> None:
    """Raise UserError if there are too few videos to train and test; else print how many are used."""
    missing = [reason for one in availabilities for reason in one.missing.values()]
    if drawn and missing:
        raise UserError(
            f"no features of {counted(len(missing), 'video')} (the others have some), e.g. {missing[0]}"
            "; delete these files, so that the demo draws them again, and run the same command again"
        )
    needed = [(one, one.usable.train) for one in availabilities]
    needed.append((availabilities[0], availabilities[0].usable.test))
    for one, videos in needed:
        if not videos:
            example = next(iter(one.missing.values()), "none are listed")
            raise UserError(
                f"{one.summary()}, need some of each; e.g. {example}; {what_to_get(one.dataset.name)}"
            )
    for one in availabilities:
        if one.missing:
            print(f"{one.summary()}; {MANIFEST} beside the features has the reasons")
