"""Every file of conf/ composes to valid settings, by the command in its first comment."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml

import tsrnet
from tsrnet.core.cli import conf_folder
from tsrnet.pipeline.config import RunConfig, settle_transfer
from tsrnet.pipeline.sections import dataset_of

FILES = sorted(path.relative_to(conf_folder()) for path in conf_folder().rglob("*.yaml"))
FILES = [path for path in FILES if path.parts[0] != "wandb"]  # W&B's own, below


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_command_of_the_first_comment_composes(file: Path) -> None:
    lines = (conf_folder() / file).read_text().splitlines()
    first = next(line for line in lines if not line.startswith("# @"))
    match = re.fullmatch(r"# python -m tsrnet\.(\w+)((?: \+?[\w.@]+=\S+)*)", first)
    assert match, f"{file}: it begins with {first!r}, need a command"
    overrides = match.group(2).split()
    root = conf_folder()
    if file.parts[:2] == ("reproduce", "tables"):  # tests/test_reproduce.py composes their rows
        assert overrides == [f"table={file.stem.removeprefix('table')}"]
        return
    if match.group(1) == file.parts[0]:  # a command with a folder of its own
        root = root / file.parts[0]
    elif len(file.parts) == 2:  # a choice of a group: the command makes it
        assert f"{file.parts[0]}={file.stem}" in [re.sub(r"^\+|@\w+", "", one) for one in overrides]
    with hydra.initialize_config_dir(str(root), version_base="1.3"):
        config = hydra.compose(match.group(1), overrides)
    if match.group(1) == "train":
        assert RunConfig.from_config(config).streams
    elif match.group(1) in ("check", "extract"):
        assert dataset_of(config, trimmed=True)
    else:  # it has no dataset; its own tests run it
        assert (Path(tsrnet.__file__).parent / f"{match.group(1)}.py").is_file()


def test_the_sweep_of_wandb_gives_arguments_that_compose() -> None:
    """As its agent fills the command in: each parameter at both of its ends."""
    sweep = yaml.safe_load((conf_folder() / "wandb" / "sweep.yaml").read_text())
    *before, arguments = sweep["command"]
    assert before[:4] == ["${env}", "python", "-m", "tsrnet.train"]
    assert arguments == "${args_no_hyphens}"
    for end in (0, -1):
        values = {
            key: one.get("values") or [one["min"], one["max"]] for key, one in sweep["parameters"].items()
        }
        overrides = [*before[4:], *(f"{key}={value[end]}" for key, value in values.items())]
        with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
            config = RunConfig.from_config(hydra.compose("train", overrides))
        assert config.holdout, "settings are not chosen on the test videos"
        assert config.loss.alpha == values["loss.alpha"][end]


DATASETS = sorted((conf_folder() / "dataset").glob("*.yaml"))
RECIPES = {path.stem for path in (conf_folder() / "recipe").glob("*.yaml")}


@pytest.mark.parametrize("file", DATASETS, ids=lambda file: file.stem)
def test_a_dataset_names_data_only(file: Path) -> None:
    """How it is trained is a recipe's; what may come with it are its trimmed clips and its features."""
    content = yaml.safe_load(file.read_text())
    chosen = {name for entry in content.pop("defaults", ()) if isinstance(entry, dict) for name in entry}
    assert content.keys() <= {"dataset", "trimmed"}
    assert chosen <= {"override /trimmed", "override /features"}


def recipe_of(*overrides: str) -> Any:
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return hydra.compose("train", list(overrides))


@pytest.mark.parametrize("name", [file.stem for file in DATASETS])
def test_a_dataset_takes_the_recipe_of_its_name(name: str) -> None:
    config = recipe_of(f"dataset={name}")
    assert config.recipe.name == (name if name in RECIPES else "default")
    if name in RECIPES:
        settings = yaml.safe_load((conf_folder() / "recipe" / f"{name}.yaml").read_text())
        assert config.loss.alpha == settings["loss"]["alpha"]
        assert config.trainer.max_steps == settings["trainer"]["max_steps"]
        assert config.localization.attention == settings["recipe"]["attention"]


def test_the_recipe_can_be_another_and_its_settings_can_be_overridden() -> None:
    config = recipe_of("dataset=activitynet", "recipe=demo", "loss.alpha=7")
    assert (config.dataset.name, config.recipe.name) == ("activitynet", "demo")
    assert (config.loss.alpha, config.localization.attention) == (7, "max")
    assert config.trainer.max_steps == 500


@pytest.mark.parametrize(
    ("overrides", "beta"),
    [
        (("dataset=composed",), 0.1),
        (("dataset=thumos14", "pretrain=overlap30"), 0.1),
        (("dataset=thumos14", "pretrain=overlap30", "transfer=none"), 0.0),
        (("dataset=composed", "transfer=none"), 0.0),
        (("dataset=composed", "transfer=distill"), 0.1),
        (("dataset=composed", "transfer=none", "loss.beta=0.3"), 0.3),
        (("dataset=composed", "model=basnet"), 0.0),
        (("dataset=labels", "dataset.labels=l.csv", "dataset.videos=v"), 0.0),  # there are no trimmed clips
        (("dataset=labels", "dataset.labels=l.csv", "dataset.videos=v", "trimmed.videos=t"), 0.1),
        (("dataset=demo",), 0.0),
    ],
)
def test_sparsity_is_on_where_knowledge_is_transferred(overrides: tuple[str, ...], beta: float) -> None:
    config = recipe_of(*overrides)
    settle_transfer(config)
    assert config.loss.beta == RunConfig.from_config(config).loss.beta == beta


@pytest.mark.parametrize(
    ("overrides", "form"),
    [
        (("dataset=activitynet",), "centered"),
        (("dataset=activitynet", "model=basnet"), "centered"),
        (("dataset=activitynet", "model=stpn"), "raw"),
        (("dataset=activitynet", "stage2=pseudo"), "raw"),
        (("dataset=thumos14",), "raw"),
    ],
)
def test_activations_are_centered_where_the_loss_leaves_a_constant_open(
    overrides: tuple[str, ...], form: str
) -> None:
    assert RunConfig.from_config(recipe_of(*overrides)).localization.activation == form


def test_the_output_names_the_recipe(command: Callable[..., Any], tmp_path: Path) -> None:
    mission = ("dataset=activitynet", "pretrain=overlap30", "logger=csv", f"paths.data={tmp_path}/data")
    for more, recipe, said in (
        (
            (),
            "activitynet",
            "alpha 30, beta 0.1, 2000 steps, attention standardized, class activations centered",
        ),
        (("recipe=demo",), "demo", "alpha 300, beta 0, 500 steps, attention max, class activations raw"),
    ):
        result = command("train", *mission, f"hydra.run.dir={tmp_path}/run", *more)
        assert result.out.splitlines()[0] == f"recipe: {recipe} ({said})"
        assert "there are no annotations of activitynet" in result.mistake


def test_experiments_compose_with_other_choices() -> None:
    """What an experiment chooses and what the command line adds to it."""
    names = [path.stem for path in (conf_folder() / "experiment").glob("*.yaml")]
    assert len(names) > 3
    for name in names:
        settings = RunConfig.from_config(recipe_of(f"+experiment={name}", "seed=3", "trainer.max_steps=7"))
        assert (settings.seed, settings.trainer.max_steps) == (3, 7)
    config = recipe_of("+experiment=srnet", "dataset=thumos14", "stream=flow")
    assert list(config.stream.names) == ["flow"]
    assert (config.transfer.fc1, config.transfer.fc2) == (0, 0)
    assert config.recipe.name == "thumos14"
    config = recipe_of("+experiment=activitynet_overlap30")
    assert (config.dataset.name, config.pretrain.overlap, config.recipe.name) == (
        *("activitynet", True, "activitynet"),
    )
