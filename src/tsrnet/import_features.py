"""`python -m tsrnet.import_features`: imports features that another project made."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError


def import_features(config: DictConfig) -> None:
    """Import what is missing, list the videos that are left out, print what may be wrong."""
    from tsrnet.core.files import check_id
    from tsrnet.core.settings import AnyPath, settings_of
    from tsrnet.datasets.layouts.importer import import_features, width_text
    from tsrnet.datasets.layouts.videos import LayoutSettings
    from tsrnet.features.store import STREAMS, FeatureStore
    from tsrnet.reporting.tables import print_failures

    settings = settings_of(LayoutSettings, config, where="")
    source: Path = settings_of(AnyPath, config.source, where="source")
    annotations = (
        settings_of(AnyPath, config.annotations, where="annotations") if config.annotations else None
    )
    if not source.exists():
        raise UserError(f"source: got {source}, need a file or folder that is there")
    for key, name in (("dataset", config.dataset), ("features.name", config.features.name)):
        try:
            check_id(str(name or ""))
        except UserError as error:
            raise UserError(f"{key}: got {name}, need a name that a folder can have") from error
    store = FeatureStore(Path(config.paths.features) / str(config.dataset) / str(config.features.name))
    imported = import_features(source, annotations, store, settings)
    own = [name for name in imported.streams if name not in STREAMS]
    train_with = f"; train with stream={own[0]}" if own else ""
    print(
        f"{imported.videos} videos are in {store.folder}, {imported.new} of them new:"
        f" {width_text(imported.streams)}{train_with}"
    )
    for warning in imported.warnings:
        print(f"warning: {warning}")
    print_failures(imported.left_out)


if __name__ == "__main__":
    run_command("import_features", import_features, folder="import_features")
