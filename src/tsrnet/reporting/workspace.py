"""The W&B workspace of a project: losses, figures, the sweeps' parallel coordinates, timelines."""

from __future__ import annotations

from typing import Any

TERMS = ("total", "class", "smoothness", "sparsity", "fc1", "fc2")
SWEPT = ("loss.alpha", "loss.beta", "localization.theta", "model.dropout", "seed")
TIOUS = (*(f"{tenths / 10:.2f}" for tenths in range(1, 10)), "0.75", "0.95")


def workspace(entity: str, project: str, name: str) -> Any:
    """A wandb_workspaces Workspace, not saved yet, of what `log_losses` and `log_results` log."""
    import wandb_workspaces.reports.v2 as panels
    import wandb_workspaces.workspaces as workspaces

    def lines(stage: str, title: str, names: tuple[str, ...]) -> Any:
        y = [f"{stage}/{name}" for name in names]
        return panels.LinePlot(title=f"{stage}: {title}", x=f"{stage}/step", y=y)

    stages = [f"{kind}-{stream}" for kind in ("tsrnet", "overlap", "teacher") for stream in ("rgb", "flow")]
    streams = ("rgb", "flow", "fusion")
    coordinates = [
        *(panels.ParallelCoordinatesPlotColumn(panels.Config(key), key) for key in SWEPT),
        *(
            panels.ParallelCoordinatesPlotColumn(panels.SummaryMetric(f"test/{key}"), title)
            for key, title in (("fusion/accuracy", "accuracy"), ("average_mAP", "average mAP"))
        ),
    ]
    sections = {
        "Loss": [lines(stage, "loss", tuple(f"loss/{term}" for term in TERMS)) for stage in stages],
        "Detection": [
            panels.BarPlot(title="mAP over tIoU", metrics=[f"test/mAP/{tiou}" for tiou in sorted(TIOUS)]),
            panels.BarPlot(title="average mAP", metrics=["test/average_mAP"]),
            panels.BarPlot(
                title="attention inside over outside",
                metrics=[f"test/attention/{stream}/ratio" for stream in streams[:2]],
            ),
        ],
        "Recognition": [
            panels.BarPlot(title="accuracy", metrics=[f"test/{stream}/accuracy" for stream in streams]),
            panels.MediaBrowser(title="confusion", media_keys=["test/confusion_table"]),
        ],
        "Sweeps": [panels.ParallelCoordinatesPlot(title="α, β, θ", columns=coordinates)],
        "Timelines": [panels.MediaBrowser(title="timelines", media_keys=["test/timelines"])],
        "Speed": [lines(stage, "speed and memory", ("steps_per_s", "memory_GB")) for stage in stages],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=key, panels=some, is_open=True) for key, some in sections.items()],
    )
