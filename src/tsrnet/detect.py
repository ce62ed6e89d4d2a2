"""`python -m tsrnet.detect`: finds the actions in your own videos."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tsrnet.core.cli import importing, run_command
from tsrnet.core.errors import FailedError, UserError, optional


def detect(config: DictConfig) -> None:
    """Extract features with the run's settings, run its networks, write a page and a picture per video."""
    print("starting ...", flush=True)  # torch takes seconds to import
    with importing():
        from tsrnet.core.files import atomic_path, remove_parts_of_the_dead
        from tsrnet.core.progress import track
        from tsrnet.evaluation.video_detections import submission_of
        from tsrnet.inference.model import load
        from tsrnet.reporting.tables import print_detections, print_failures
        from tsrnet.video.video_file import named_videos

    if config.run is None:
        raise UserError("run: got nothing, need the folder of a run of tsrnet.train")
    given = [text.lstrip("+") for text in HydraConfig.get().overrides.task]
    chosen = {re.split("[.=]", text)[1] for text in given if text.startswith("localization.")}
    whole = any(text.startswith("localization=") for text in given)
    constants = {
        key: value
        for key, value in config.localization.items()
        if (whole or key in chosen) and (key, value) != ("attention", None)  # the form is the run's
    }
    if config.video is None:
        raise UserError("video: got nothing, need a file, a folder, a pattern or a list of these")
    videos = named_videos(map(str, config.video if OmegaConf.is_list(config.video) else [config.video]))
    model = load(config.run, **constants)
    output = Path(config.output)
    found, failures = model.detect_all(list(videos.values()), features=output / ".features")
    remove_parts_of_the_dead(output)
    names = {path: name for name, path in videos.items()}
    # The name of the file, where no other video has the same.
    ids = {
        path: path.name if name == path.stem and path.name not in videos else name
        for path, name in names.items()
    }
    with atomic_path(output / "detections.json") as part:
        part.write_text(json.dumps(submission_of({ids[one.video]: one for one in found}), indent=1))
    for one in found if config.subtitles else ():
        with atomic_path(output / f"{names[one.video]}.srt") as part:
            part.write_text(one.to_srt(), encoding="utf-8")
    start = time.monotonic()
    for one in track(found, total=len(found), what="pages"):
        page, picture = (output / f"{names[one.video]}.{kind}" for kind in ("html", "png"))
        with optional(str(page)):
            one.to_html(page, video_id=ids[one.video])
        with optional(str(picture)):
            one.plot(picture)
    print(f"pages and pictures: {time.monotonic() - start:.1f} s")
    for one in found:
        print_detections(ids[one.video], one.detections, one.probabilities)
    print(f"folder: {output} (detections.json, and a page and a picture of each video)")
    print_failures({names[path]: reason for path, reason in failures.items()})
    if failures:
        raise FailedError(f"{len(failures)} of {len(videos)} videos could not be read")


if __name__ == "__main__":
    run_command("detect", detect)
