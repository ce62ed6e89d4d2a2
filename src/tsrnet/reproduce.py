"""`python -m tsrnet.reproduce`: runs and draws a table or figure of the paper over several seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tsrnet.core.cli import conf_folder, run_command
from tsrnet.core.errors import FailedError, UserError
from tsrnet.core.files import atomic_path
from tsrnet.core.reading import read_json_as, reading

if TYPE_CHECKING:
    from tsrnet.reporting.reproduction import Experiment


def reproduce(config: DictConfig) -> None:
    """Run what is missing of an experiment; write its table and picture."""
    from tsrnet.reporting.reproduction import Reproduction

    name, experiment = _experiment(config.table)
    dataset = config.dataset or experiment.datasets[0]
    if dataset not in experiment.datasets:
        raise UserError(
            f"dataset: got {dataset}, {name} exists for {', '.join(experiment.datasets)};"
            " give one of these or another table"
        )
    if not isinstance(config.seeds, int) or config.seeds < 1:
        raise UserError(f"seeds: got {config.seeds}, need a whole number above 0")
    given = [text.lstrip("+") for text in HydraConfig.get().overrides.task]
    passed_on = [text.removeprefix("train.") for text in given if text.startswith("train.")]
    simulated = config.features == "simulated"
    common = [f"dataset={dataset}", *([f"features={config.features}"] if config.features else [])]
    common += [f"logger={config.logger}", *passed_on]
    folder = Path(config.output) / f"{name}_{dataset}{'_simulated' if simulated else ''}"
    total, number = len(experiment.methods) * config.seeds, 0
    runs: dict[str, dict[int, Any]] = {}
    failures: list[str] = []
    for seed in range(config.seeds):  # all methods of a seed first: a table that is cut off compares them all
        for method, row in experiment.methods.items():
            number += 1
            overrides = [*common, *row.overrides, f"seed={seed}"]
            overrides += row.besides.get("simulated" if simulated else dataset, ())
            overrides += [f"features.seed={seed}"] if simulated else []
            what = f"{method}, seed {seed}"
            print(f"[{number} of {total}] {what}: {' '.join(overrides)}", flush=True)
            try:
                there = folder / _slug(method) / str(seed)
                stages = _run(overrides, there, what, name, config.only_report)
                found = None if stages is None else _metrics(there, stages, experiment)
            except UserError as error:
                failures.append(f"{what}: {error}")
                print(f"failed: {failures[-1]}", flush=True)
                found = None
            runs.setdefault(method, {})[seed] = found
    reproduction = Reproduction(experiment, dataset, runs)
    with atomic_path(folder / "table.md") as part:
        part.write_text(reproduction.markdown())
    reproduction.draw(folder / "table.png")
    print(reproduction.markdown())
    print(f"folder: {folder} (table.md, table.png, a run folder for each method and seed)")
    if failures:
        raise FailedError(f"{len(failures)} of {total} runs failed; e.g. {failures[0]}")


def _experiment(table: object) -> tuple[str, Experiment]:
    """The name and content of a file of conf/reproduce/tables."""
    from tsrnet.core.settings import settings_of
    from tsrnet.reporting.reproduction import Experiment

    files = {path.stem: path for path in sorted((conf_folder() / "reproduce" / "tables").glob("*.yaml"))}
    name = f"table{table}" if str(table).isdecimal() else str(table)
    if name not in files:
        known = ", ".join(stem.removeprefix("table") for stem in files)
        raise UserError(f"table: got {table}, need one of {known}")
    return name, settings_of(Experiment, OmegaConf.load(files[name]), where=name)


def _run(overrides: list[str], folder: Path, what: str, group: str, only_report: bool) -> Path | None:
    """Run this configuration, where it has not run yet; the folder of its stages, None if it may not run."""
    from tsrnet.pipeline.config import RunConfig, settle_transfer
    from tsrnet.pipeline.run import run

    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = hydra.compose("train", overrides)
    settle_transfer(config)
    said, metrics = folder / "config.yaml", folder / "metrics.json"
    there = metrics.is_file() and said.is_file()
    if not there or said.read_bytes() != OmegaConf.to_yaml(config, resolve=True).encode():
        if only_report:
            return None
        metrics.unlink(missing_ok=True)  # of other settings
        run(RunConfig.from_config(config), config, folder, name=what, group=group)
    return Path(config.paths.stages)


def _metrics(folder: Path, stages: Path, experiment: Experiment) -> dict[str, Any]:
    """metrics.json of a run, and `training_s`, the seconds that its stages took; None without their logs."""
    from tsrnet.reporting.reproduction import percent
    from tsrnet.training.callbacks import training_seconds

    found = read_json_as(dict[str, Any], folder / "metrics.json")
    with reading(folder / "metrics.json", "the metrics of this run", do="remove it"):
        _ = found["protocol"], found["videos"], found["missing"]
        _ = [percent(found, place) for place in experiment.columns.values()]
        logs = [stages / Path(key).name / "logs" / "metrics.csv" for key in found["stages"]]
    seconds = []
    for log in logs:
        with reading(log, "the log of a training", do="remove it"):
            seconds.append(training_seconds(log))
    known = [one for one in seconds if one is not None]
    return {**found, "training_s": sum(known) if len(known) == len(seconds) else None}


def _slug(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name.replace("+", " plus ")).strip("_").lower()


if __name__ == "__main__":
    run_command("reproduce", reproduce, folder="reproduce")
