"""The demo: scripts follow from the seed, splits and classes are what the README says."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tsrnet.core.errors import UserError
from tsrnet.synthetic import acts, demo
from tsrnet.video.writer import write_video


def test_scripts_follow_from_the_seed() -> None:
    assert demo.untrimmed_scripts(4, "testing", 6) == demo.untrimmed_scripts(4, "testing", 6)
    assert demo.untrimmed_scripts(4, "testing", 6) != demo.untrimmed_scripts(5, "testing", 6)
    assert demo.untrimmed_scripts(4, "testing", 12)[:6] == demo.untrimmed_scripts(4, "testing", 6)


@pytest.mark.parametrize("seed", range(5))
def test_untrimmed_videos_are_20_to_40_s_with_1_to_4_instances_and_background(seed: int) -> None:
    for subset in ("training", "testing"):
        scripts = demo.untrimmed_scripts(seed, subset, 24)
        for script in scripts:
            assert 20 <= script.duration_s <= 40
            assert 1 <= len(script.actions) <= 4
            starts = [act.start_s for act in script.acts]
            assert starts[1:] == [act.end_s for act in script.acts[:-1]], (
                "acts follow each other without gaps"
            )
            for act, following in zip(script.acts, script.acts[1:], strict=False):
                assert not (act.name in acts.ACTIONS and following.name in acts.ACTIONS)
        classes = [{act.name for act in script.actions} for script in scripts]
        assert max(map(len, classes)) == 2
        assert sum(len(names) == 2 for names in classes) == 4
        assert min(Counter(name for names in classes for name in names).values()) >= 4


def test_flaps_pass_the_same_poses_but_one_is_fast_upward_and_one_downward() -> None:
    def shoulders(name: str) -> np.ndarray:
        act = acts.Act(name, 0.0, 100.0, 1 / 0.7, 0)  # one flap a second
        times_s = np.arange(4000) / 400
        # the figure sways a little with time, which has nothing to do with the action
        return np.array([acts.pose_of(act, time)[0][0] - 0.04 * np.sin(1.3 * time) for time in times_s])

    up, down = shoulders("FlapUp"), shoulders("FlapDown")
    np.testing.assert_allclose(np.sort(up), np.sort(down), atol=0.05)
    assert (np.diff(up) > 0).mean() == pytest.approx(0.3, abs=0.02)
    assert (np.diff(down) > 0).mean() == pytest.approx(0.7, abs=0.02)


def test_the_same_script_gives_the_same_file(tmp_path: Path) -> None:
    (script,) = (s for s in demo.trimmed_scripts(0, 3) if s.id == "FlapDown_002")
    frames = list(demo.frames(script, 112))
    written = set()
    for _ in range(25):
        write_video(tmp_path / "a.mp4", frames, frame_rate_hz=30)
        written.add((tmp_path / "a.mp4").read_bytes())
    assert len(written) == 1


def test_ground_truth_names_each_instance() -> None:
    (script, *_) = demo.untrimmed_scripts(0, "testing", 6)
    entry = demo.ground_truth([script])["database"][script.id]
    assert entry["subset"] == "testing"
    assert [(a["label"], *a["segment"]) for a in entry["annotations"]] == [
        (act.name, round(act.start_s, 3), round(act.end_s, 3)) for act in script.actions
    ]


def test_a_folder_of_another_demo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"format": 1, "seed": 0, "size": 64}')
    settings = demo.DemoSettings(0, 6, 6, 1, 112, str(tmp_path))
    with pytest.raises(UserError, match=r"size.*delete it"):
        demo.draw_dataset(settings, workers=1)


def test_workers_draw_without_torch() -> None:
    """It takes a worker seconds to import; of both functions that the demo gives to workers."""
    code = (
        "import sys, tsrnet.synthetic.random_figures, tsrnet.synthetic.demo; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
