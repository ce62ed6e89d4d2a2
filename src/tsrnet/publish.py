"""`python -m tsrnet.publish`: shares the networks of a run on the Hugging Face Hub."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from omegaconf import DictConfig
from pydantic import Field

from tsrnet.core.cli import run_command
from tsrnet.core.errors import UserError
from tsrnet.core.settings import AnyPath, settings_of


@dataclass(frozen=True)
class PublishSettings:
    """The keys of the command; conf/publish.yaml says what each means."""

    run: Annotated[AnyPath, Field(description="the folder of a run of tsrnet.train")]
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")] | None
    output: AnyPath | None
    license: str | None
    private: bool


def publish(config: DictConfig) -> None:
    """Copy `model` of the run with its card into a folder; upload that, or leave it at `output`."""
    from tsrnet.core.files import make_folder
    from tsrnet.core.reading import read_json
    from tsrnet.inference.hub import FILES, upload
    from tsrnet.pipeline.model_folder import FOLDER, read_model, save_card

    settings = settings_of(PublishSettings, config, where="")
    run, repo, output, licence = settings.run, settings.repo, settings.output, settings.license
    if (repo is None) == (output is None):
        raise UserError(f"got repo={repo} and output={output}, need one: owner/name on the Hub, or a folder")
    if not (run / "metrics.json").is_file():
        raise UserError(f"run: got {run}, which has no metrics.json; need a run folder, not its folder model")
    source, _ = read_model(run)
    with tempfile.TemporaryDirectory() as temporary:
        target = make_folder((output or Path(temporary)) / FOLDER)
        for path in (path for pattern in FILES for path in source.glob(pattern)):
            shutil.copyfile(path, target / path.name)
        save_card(target.parent, read_json(run / "metrics.json"), repo=repo, licence=licence)
        if licence is None:
            print("license: none is stated; give license=mit or another, if you may")
        if repo is None:
            print(f"folder: {target}; tsrnet.load({str(target)!r}) loads it")
            return
        print(f"published: {upload(target, repo, private=settings.private)}")
        print(f"tsrnet.load('hf://{repo}') loads it")


if __name__ == "__main__":
    run_command("publish", publish)
