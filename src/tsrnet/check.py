"""`python -m tsrnet.check`: counts the videos and features of a dataset that are present or missing."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError


def check(config: DictConfig) -> None:
    """Count and list videos and features of the dataset and of its trimmed companion."""
    from tsrnet.datasets.availability import find_features, open_videos
    from tsrnet.features.store import FeatureStore
    from tsrnet.pipeline.sections import dataset_of, streams_of
    from tsrnet.pipeline.sources import READERS
    from tsrnet.reporting.tables import print_counts

    if config.features.name == "simulated":
        raise UserError(f"features=simulated: has no files; check dataset={'|'.join(READERS)} without it")
    folder = Path(HydraConfig.get().runtime.output_dir)
    streams = streams_of(config)
    trimmed = config.trimmed.get("annotations")
    has_trimmed = trimmed is None or Path(trimmed).exists() or config.dataset.name == "ucf101"
    if not has_trimmed:
        print(f"{trimmed}: not there; only transfer needs these trimmed videos")
    for dataset in dataset_of(config, trimmed=has_trimmed).read().datasets:
        store = FeatureStore(Path(config.paths.features) / dataset.name / config.features.name)
        found = open_videos(find_features(dataset, store, streams))
        path = folder / f"manifest_{dataset.name}.json"
        found.write(path)
        print_counts(dataset.name, found.counts())
        print(f"{len(dataset.remarks)} remarks on the annotations; reasons per video: {path}")


if __name__ == "__main__":
    run_command("check", check)
