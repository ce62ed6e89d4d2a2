"""The model card of a run's networks: what they are, what they learned from, how good they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tsrnet.core.wording import counted
from tsrnet.losses.objective import TransferSettings

_CARD = """\
---
library_name: tsrnet
pipeline_tag: video-classification
tags: [temporal-action-localization, weakly-supervised, tsrnet]
{licence}---

# {title}

Finds {num_classes} actions in untrimmed videos: which happen, and when. The networks learned from video-level
labels only, with [tsrnet](https://pypi.org/project/tsrnet/): TSRNet (Zhang et al., AAAI 2019).

```python
from tsrnet import load

if __name__ == "__main__":  # the processes that decode import this file
    found = load("{load}").detect("clip.mp4")
    print(found.detections)  # label, start_s, end_s, score
```

## Training

| | |
|---|---|
| dataset | {dataset} |
| model | {model} |
| streams | {streams} |
| transfer from trimmed clips | {transfer} |
| training steps | {steps} |
| seed | {seed} |

## Features

| | |
|---|---|
| backbone | {backbone} |
| weights | {weights} |
| snippets per second | {rate} |
| flow | {flow} |

The networks need features of exactly this kind. `tsrnet` computes them from the video.

## Results

{results}

## Classes

{classes}

## Licence and limits

{rights} The licences of the training videos and of the backbone may restrict their use. The networks
find the actions above and no others, in videos like those of the training.
"""


def model_card(
    described: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    repo: str | None = None,
    licence: str | None = None,
) -> str:
    """README.md for a folder `model`.

    Args:
        described: what model.json holds.
        metrics: what metrics.json holds; empty: the card has no results.
        repo: owner/name on the Hugging Face Hub.
        licence: of the networks, as the Hub calls it ("mit"); None: the card says that none is stated.
    """
    config, features = described["config"], described["features"]
    stage2 = config.get("stage2") or {"name": "none"}
    second = f", then {stage2['model']['name']} on its detections" if stage2["name"] != "none" else ""
    flow = features.get("snippets", {}).get("flow") if "flow" in described["num_features"] else None
    return _CARD.format(
        licence=f"license: {json.dumps(licence)}\n" if licence else "",
        title=repo.partition("/")[2] if repo else f"TSRNet: {config['dataset']['name']}",
        load=f"hf://{repo}" if repo else "model",
        num_classes=len(described["classes"]),
        dataset=config["dataset"]["name"],
        model=config["model"]["name"] + second,
        streams=", ".join(described["num_features"]),
        transfer="yes" if TransferSettings(**config["transfer"]).active else "no",
        steps=config["trainer"]["max_steps"],
        seed=config["seed"],
        backbone=_cell(features.get("backbone")),
        weights=_cell(features.get("weights")),
        rate=_cell(features.get("rate_hz")),
        flow=_cell(flow and flow.get("method")),
        results=_results(metrics) if metrics else "No results are stated.",
        classes=", ".join(f"`{name}`" for name in described["classes"]),
        rights=f"Licence of the networks: {licence}." if licence else "No licence of the networks is stated.",
    )


def _results(metrics: Mapping[str, Any]) -> str:
    label = f", {metrics['label']}" if metrics.get("label") else ""
    lines = [
        f"Protocol {metrics['protocol']}{label}, {counted(metrics['videos'], 'test video')}, in percent.",
        "",
        "| | |",
        "|---|---|",
    ]
    for stream, values in metrics["recognition"].items():
        lines.append(f"| accuracy, {stream} | {100 * values['accuracy']:.1f} |")
    detection = metrics.get("detection") or {"mAP": {}}
    lines += [f"| mAP at tIoU {tiou} | {100 * value:.1f} |" for tiou, value in detection["mAP"].items()]
    if "average_mAP" in detection:
        lines.append(f"| average mAP | {100 * detection['average_mAP']:.1f} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return "-" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
