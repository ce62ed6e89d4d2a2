"""`python -m tsrnet.check`: what is there of a dataset and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.command import run_command

if TYPE_CHECKING:
    from omegaconf import DictConfig


def check(config: DictConfig) -> None:
    """Count and list videos and features of the dataset and of its trimmed companion."""
    import json
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from tsrnet.datasets.sources import READERS
    from tsrnet.errors import UserError
    from tsrnet.features.store import FeatureStore
    from tsrnet.files import atomic_path
    from tsrnet.learning.plan import dataset_of, streams_of
    from tsrnet.learning.stock import take_stock
    from tsrnet.reporting.tables import print_counts

    if config.features.name == "simulated":
        raise UserError(f"features=simulated: has no files; check dataset={'|'.join(READERS)} without it")
    folder = Path(HydraConfig.get().runtime.output_dir)
    streams = streams_of(config)
    for collection in dataset_of(config).collections():
        store = FeatureStore(Path(config.paths.features) / collection.name / config.features.name)
        stock = take_stock(collection, store, streams)
        path = folder / f"manifest_{collection.name}.json"
        with atomic_path(path) as part:
            part.write_text(json.dumps(stock.manifest, indent=1))
        print_counts(collection.name, stock.counts)
        print(f"{len(collection.remarks)} remarks on the annotations; reasons per video: {path}")


if __name__ == "__main__":
    run_command("check", check)
