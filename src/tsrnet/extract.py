"""`python -m tsrnet.extract`: extracts features from the videos of a dataset or of any folder."""

from __future__ import annotations

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import FailedError, UserError
from tsrnet.core.settings import AnyPath, settings_of


def extract(config: DictConfig) -> None:
    """Write the features that are missing and list the videos that failed."""
    from tsrnet.datasets.availability import video_files
    from tsrnet.pipeline.features import ExtractionConfig, extract_features
    from tsrnet.pipeline.sections import dataset_of, features_of
    from tsrnet.reporting.tables import print_failures
    from tsrnet.video.video_file import videos_of_folder

    extraction = features_of(config)
    if not isinstance(extraction, ExtractionConfig):
        raise UserError(
            f"features.name: got {config.features.name}, which are not extracted from videos; give"
            " features=resnet101 or another option of conf/features"
        )
    index, count = config.shard.index, config.shard.count
    if not 0 <= index < count:
        raise UserError(f"shard.index: got {index} of shard.count={count}, need 0 to shard.count - 1")
    folder = settings_of(AnyPath, config.videos, where="videos") if config.videos else None
    if folder:
        datasets = {folder.resolve().name: videos_of_folder(folder)}
    else:
        found = dataset_of(config, trimmed=True).read()
        datasets = {dataset.name: video_files(dataset) for dataset in found.datasets}
    tried = 0
    failed: dict[str, str] = {}
    for name, videos in datasets.items():
        there = [video for video in videos[index::count] if video.path.is_file()]
        print(f"{name}: {len(there)} of {len(videos[index::count])} videos are present")
        store, failures = extract_features(name, there, extraction, folder=folder)
        print(f"{name}: {len(there) - len(failures)} of {len(there)} videos have features in {store.folder}")
        tried, failed = tried + len(there), failed | failures
    print_failures(failed)
    if len(failed) > config.max_failed * tried:
        raise FailedError(f"{len(failed)} of {tried} videos failed, more than max_failed={config.max_failed}")


if __name__ == "__main__":
    run_command("extract", extract)
