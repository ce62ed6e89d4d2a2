"""`python -m tsrnet.publish`: shares the networks of a run on the Hugging Face Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsrnet.core.cli import run_command

if TYPE_CHECKING:
    from omegaconf import DictConfig


def publish(config: DictConfig) -> None:
    """Copy `model` of the run with its card into a folder; upload that, or leave it at `output`."""
    import re
    import shutil
    import tempfile
    from pathlib import Path

    from tsrnet.core.errors import UserError
    from tsrnet.core.files import make_folder
    from tsrnet.core.reading import read_json
    from tsrnet.inference.hub import FILES, upload
    from tsrnet.pipeline.model_folder import FOLDER, read_model, save_card

    if config.run is None:
        raise UserError("run: got nothing, need the folder of a run of tsrnet.train")
    if (config.repo is None) == (config.output is None):
        raise UserError(
            f"got repo={config.repo} and output={config.output}, need one: owner/name on the Hub, or a folder"
        )
    if config.repo is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(config.repo)):
        raise UserError(f"repo: got {config.repo}, need owner/name")
    if type(config.private) is not bool:
        raise UserError(f"private: got {config.private}, need true or false")
    run = Path(str(config.run))
    if not (run / "metrics.json").is_file():
        raise UserError(f"run: got {run}, which has no metrics.json; need a run folder, not its folder model")
    source, _ = read_model(run)
    with tempfile.TemporaryDirectory() as temporary:
        target = make_folder(
            (Path(temporary) if config.output is None else Path(str(config.output))) / FOLDER
        )
        for path in (path for pattern in FILES for path in source.glob(pattern)):
            shutil.copyfile(path, target / path.name)
        licence = None if config.license is None else str(config.license)
        save_card(target.parent, read_json(run / "metrics.json"), repo=config.repo, licence=licence)
        if licence is None:
            print("license: none is stated; give license=mit or another, if you may")
        if config.output is not None:
            print(f"folder: {target}; tsrnet.load({str(target)!r}) loads it")
            return
        print(f"published: {upload(target, str(config.repo), private=config.private)}")
        print(f"tsrnet.load('hf://{config.repo}') loads it")


if __name__ == "__main__":
    run_command("publish", publish)
