"""A wrong setting is refused in one line that names its key, what was got and what is needed."""

from __future__ import annotations

import pickle
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tsrnet.core.errors import UserError
from tsrnet.core.settings import settings_of
from tsrnet.datasets.snippet_sampler import SamplingSettings
from tsrnet.localization.settings import LocalizationSettings
from tsrnet.losses.objective import LossSettings, TransferSettings
from tsrnet.models.basnet import BaSNetSettings
from tsrnet.models.stpn import STPNSettings
from tsrnet.models.tsrnet import TSRNetSettings
from tsrnet.models.tsrnet_plus import TSRNetPlusSettings
from tsrnet.models.untrimmednet import UntrimmedNetSettings
from tsrnet.models.wtalc import WTALCSettings
from tsrnet.synthetic.demo import DemoSettings
from tsrnet.synthetic.simulated import SimulationSettings
from tsrnet.synthetic.stand_in import StandInSettings
from tsrnet.training.end_to_end import FinetuneSettings
from tsrnet.video.snippets import SnippetSettings
from tsrnet.video.video_file import ReadingSettings

NAN, INF = float("nan"), float("inf")

REQUIRED: dict[type[Any], dict[str, Any]] = {
    DemoSettings: {"seed": 0, "num_train": 6, "num_test": 6, "clips_per_class": 1, "size": 64, "folder": ""},
    FinetuneSettings: {"max_steps": 1, "teacher_steps": 1, "alpha": 1.0},
    SimulationSettings: {"seed": 0},
    StandInSettings: dict.fromkeys(
        ("num_pictures", "num_stacks", "picture_steps", "stack_steps", "batch_size", "learning_rate"), 1
    )
    | {"invariance": 0.5},
}
"""Values for the settings without defaults, so that a wrong one beside them is the only mistake."""

COUNT, NON_NEGATIVE, POSITIVE = "a whole number >= 1", "a number >= 0", "a number > 0"
SHARE, BELOW_ONE = "a number >= 0 and <= 1", "a number >= 0 and < 1"
THRESHOLD = "a number > 0 and < 1 or a list of numbers > 0 and < 1"
FORMS = "one of standardized, max, raw, none"
SIZE = "a whole number >= 1 and <= 16384"

WRONG: dict[tuple[type[Any], str], list[tuple[str, Any, str]]] = {
    (LossSettings, "loss"): [
        ("alpha", -1, NON_NEGATIVE),
        ("alpha", "much", NON_NEGATIVE),
        ("alpha", NAN, NON_NEGATIVE),
        ("alpha", True, NON_NEGATIVE),
        ("beta", INF, NON_NEGATIVE),
        ("classification", "hinge", "one of softmax, bce"),
        ("sparsity", "l2", "one of l1, entropy, l_half"),
    ],
    (TransferSettings, "transfer"): [
        ("fc1", -1.0, NON_NEGATIVE),
        ("fc2", NAN, NON_NEGATIVE),
        ("bandwidth", 0, f"{POSITIVE} or null"),
    ],
    (LocalizationSettings, "localization"): [
        ("theta", 1.1, SHARE),
        ("theta", NAN, SHARE),
        ("threshold", 0, THRESHOLD),
        ("threshold", 1.0, THRESHOLD),
        ("threshold", "low", THRESHOLD),
        ("threshold", True, THRESHOLD),
        ("threshold", [], THRESHOLD),
        ("threshold", [0.1, 2], THRESHOLD),
        ("attention", "softmax", FORMS),
        ("min_probability", -0.1, SHARE),
        ("nms", 1.0, f"{BELOW_ONE} or null"),
        ("soft_nms", 0, f"{POSITIVE} or null"),
        ("max_gap_s", -1, NON_NEGATIVE),
        ("min_duration_s", -1, NON_NEGATIVE),
        ("smoothing_s", -1, NON_NEGATIVE),
        ("class_power", -1, NON_NEGATIVE),
        ("score", "sum", "one of mean, max, contrast"),
    ],
    (TSRNetSettings, "model"): [
        ("attention", "multi", "one of self, mean"),
        ("merge", "sum", "one of concat, mean"),
        ("hops", 0, COUNT),
        ("hops", 1.5, COUNT),
        ("hidden_size", True, COUNT),
        ("attention_size", "big", COUNT),
        ("dropout", 1.0, BELOW_ONE),
        ("dropout", -0.1, BELOW_ONE),
    ],
    (TSRNetPlusSettings, "model"): [
        ("hops", 0, COUNT),
        ("context", 2, "an odd number >= 1"),
        ("mil", -1.0, NON_NEGATIVE),
        ("pool_divisor", 0, COUNT),
    ],
    (BaSNetSettings, "model"): [
        ("filter_size", 0, COUNT),
        ("hidden_size", 0, COUNT),
        ("filter_kernel", 2, "an odd number >= 1"),
        ("kernel", -1, "an odd number >= 1"),
        ("dropout", 1.0, BELOW_ONE),
        ("pool_divisor", 0, COUNT),
        ("alpha", -1.0, NON_NEGATIVE),
        ("beta", INF, NON_NEGATIVE),
        ("gamma", NAN, NON_NEGATIVE),
    ],
    (STPNSettings, "model"): [
        ("attention_size", 0, COUNT),
        ("pooling", "max", "one of mean, sum"),
        ("beta", -1e-4, NON_NEGATIVE),
        ("beta", NAN, NON_NEGATIVE),
    ],
    (UntrimmedNetSettings, "model"): [
        ("selection", "both", "one of soft, hard"),
        ("pool_divisor", 0, COUNT),
    ],
    (WTALCSettings, "model"): [
        ("hidden_size", 0, f"{COUNT} or null"),
        ("dropout", 1.0, BELOW_ONE),
        ("pool_divisor", 0, COUNT),
        ("margin", -0.5, NON_NEGATIVE),
        ("mil_share", 1.1, SHARE),
    ],
    (SnippetSettings, "features"): [
        ("crop", 0, COUNT),
        ("flow.median", 4, "one of 1, 3, 5"),
        ("flow.bound", 0.0, POSITIVE),
        ("flow.scale_step", 1, "a number > 0 and < 1"),
        ("flow.warps", 0, COUNT),
        ("flow.backend", "cuda", "one of tsrnet, opencv"),
    ],
    (ReadingSettings, "video"): [
        ("backend", "vlc", "one of auto, decord, pyav, torchcodec"),
        ("timeout_s", 0, POSITIVE),
    ],
    (DemoSettings, "dataset"): [
        ("seed", -1, "a whole number >= 0"),
        ("size", 31, "an even number of pixels >= 32"),
        ("size", 33, "an even number of pixels >= 32"),
        ("num_train", 2, "one per class: at least 6, at most 10000"),
        ("num_test", 5, "one per class: at least 6, at most 10000"),
        ("folder", 3, "a string"),
    ],
    (SimulationSettings, "features"): [
        ("seed", -1, "a whole number >= 0"),
        ("num_features", 0, SIZE),
        ("num_features", 16385, SIZE),
        ("shot_s", 0, POSITIVE),
        ("store", 3, "true or false"),
    ],
    (StandInSettings, "features.stand_in"): [
        ("stack_steps", 0, COUNT),
        ("learning_rate", 0, POSITIVE),
    ],
    (SamplingSettings, "backbone"): [
        ("num_snippets", 1, "a whole number >= 2"),
        ("rotation", -1, "a number >= 0 and <= 180"),
        ("rotation", 181, "a number >= 0 and <= 180"),
        ("crop", 0, "a number > 0 and <= 1"),
        ("crop", 1.1, "a number > 0 and <= 1"),
    ],
    (FinetuneSettings, "backbone"): [
        ("max_steps", 0, COUNT),
        ("teacher_steps", 0, COUNT),
        ("chunk", 0, COUNT),
        ("alpha", -1, NON_NEGATIVE),
        ("learning_rate_factor", 0, POSITIVE),
    ],
}


@pytest.mark.parametrize(
    ("kind", "where", "key", "value", "needed"),
    [(*group, *mistake) for group, mistakes in WRONG.items() for mistake in mistakes],
)
def test_a_setting_out_of_range_is_named(
    kind: type[Any], where: str, key: str, value: Any, needed: str
) -> None:
    """From the configuration it is one line; the constructor refuses the same."""
    outer, _, inner = key.partition(".")
    values = REQUIRED.get(kind, {}) | {outer: {inner: value} if inner else value}
    with pytest.raises(UserError) as raised:
        settings_of(kind, values, where=where)
    assert str(raised.value) == f"{where}.{key}: got {value!r}, need {needed}"
    with pytest.raises(ValidationError):
        kind(**values)


TOGETHER: list[tuple[type[Any], str, dict[str, Any], str]] = [
    (LocalizationSettings, "localization", {"threshold": [0.1, 0.2]}, "localization.nms: got null, need"),
    (SnippetSettings, "features", {"crop": 80, "resize": 64}, "features.crop: got 80, need at most"),
    (DemoSettings, "dataset", {"clips_per_class": 0}, f"trimmed.clips_per_class: got 0, need {COUNT}"),
]


@pytest.mark.parametrize(("kind", "where", "values", "message"), TOGETHER)
def test_settings_that_do_not_fit_together_are_named(
    kind: type[Any], where: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as raised:
        settings_of(kind, REQUIRED.get(kind, {}) | values, where=where)
    assert str(raised.value).startswith(message)
    with pytest.raises(ValidationError):
        kind(**REQUIRED.get(kind, {}) | values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (LossSettings, {"alpha": 0, "beta": 0}),
        (TransferSettings, {"bandwidth": None}),
        (LocalizationSettings, {"theta": 0, "min_probability": 1}),
        (LocalizationSettings, {"theta": 1, "min_probability": 0}),
        (LocalizationSettings, {"threshold": (0.1, 0.2), "nms": 0}),
        (LocalizationSettings, {"threshold": (0.1,)}),
        (TSRNetSettings, {"hops": 1, "dropout": 0, "attention": "mean"}),
        (BaSNetSettings, {"kernel": 1, "filter_kernel": 5}),
        (WTALCSettings, {"hidden_size": None, "mil_share": 1}),
        (SnippetSettings, {"resize": 64, "crop": 64}),
        (SamplingSettings, {"num_snippets": 2, "rotation": 180, "crop": 1}),
        (DemoSettings, {"size": 32, "num_train": 6}),
        (SimulationSettings, {"num_features": 16384, "shot_s": 1}),
    ],
)
def test_the_bounds_themselves_are_accepted(kind: type[Any], values: dict[str, Any]) -> None:
    made = kind(**REQUIRED.get(kind, {}) | values)
    assert asdict(made).items() >= values.items()
    assert settings_of(kind, asdict(made), where="x") == made


def test_whole_numbers_of_other_types_are_accepted() -> None:
    """`trainer.max_steps=1e3` of the command line is a float; a library user may have NumPy's numbers."""
    assert [TSRNetSettings(hops=given).hops for given in (3, 3.0, np.int64(3))] == [3, 3, 3]
    assert LossSettings(alpha=np.float32(0.5)).alpha == 0.5


def test_a_misspelt_keyword_is_refused_and_a_foreign_key_ignored() -> None:
    with pytest.raises(ValidationError, match="alhpa"):
        LossSettings(alhpa=1.0)  # type: ignore[call-arg]
    node = {"alpha": 2.0, "name": "x", "hops": 2}
    assert settings_of(LossSettings, node, where="loss").alpha == 2.0
    assert settings_of(TSRNetPlusSettings, node, where="model").hops == 2


def test_the_functions_of_dataclasses_work_and_replace_checks() -> None:
    settings = LocalizationSettings(threshold=[0.1, 0.2], nms=0.5)
    assert asdict(settings)["threshold"] == settings.thresholds == (0.1, 0.2)
    assert [part.name for part in fields(settings)] == list(asdict(settings))
    assert pickle.loads(pickle.dumps(settings)) == settings == replace(settings, theta=0.5)
    assert hash(settings) == hash(replace(settings))
    with pytest.raises(ValidationError):
        replace(settings, theta=2.0)
