"""`python -m tsrnet.compose`: composes untrimmed videos with ground truth from trimmed clips."""

from __future__ import annotations

from omegaconf import DictConfig

from tsrnet.core.cli import run_command


def compose(config: DictConfig) -> None:
    """Compose what is missing, print what there is, list the clips that cannot be used."""
    from collections import Counter

    from tsrnet.core.settings import settings_of
    from tsrnet.core.wording import counted, listed
    from tsrnet.synthetic.compose import PLAN_FILE, ComposeSettings
    from tsrnet.synthetic.compose import compose as compose_videos

    settings = settings_of(ComposeSettings, config, where="")
    plan = compose_videos(settings)
    subsets = Counter(video.subset for video in plan.videos)
    minutes = sum(video.duration_s for video in plan.videos) / 60
    clips = sum(map(len, plan.trimmed.values()))
    print(
        f"{settings.output}: {subsets['training']} training and {subsets['validation']} test videos of"
        f" {len(plan.trimmed)} classes, {minutes:.0f} min; {counted(clips, 'trimmed clip')} for the teacher"
    )
    if settings.background is None:
        print("background: the clips of the unused classes; they get no label")
    shown = Counter(part.clip for video in plan.videos for part in video.parts if part.label is not None)
    clip, most = shown.most_common(1)[0]
    if most > 1:
        again = sum(count > 1 for count in shown.values())
        print(
            f"{counted(again, 'clip')} shown in several videos of a part, as there are few:"
            f" {clip!r} in {most}"
        )
    if plan.left_out:
        reasons = [f"{name}: {reason}" for name, reason in plan.left_out.items()]
        print(f"{counted(len(reasons), 'clip')} left out, all in {PLAN_FILE}: {listed(reasons)}")
    print(f"train on them: python -m tsrnet.train dataset=composed dataset.folder={settings.output}")


if __name__ == "__main__":
    run_command("compose", compose)
