"""Imports features of other projects into a feature store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsrnet.core.errors import FailedError, UserError
from tsrnet.core.files import check_id, check_space, fingerprint, remove_parts_of_the_dead
from tsrnet.core.progress import track
from tsrnet.core.wording import counted, listed
from tsrnet.datasets.layouts.annotations import detection_records, wtalc_records
from tsrnet.datasets.layouts.readers import READERS, Records
from tsrnet.datasets.layouts.videos import ImportedVideo, LayoutSettings
from tsrnet.features.store import MAX_LENGTH_DIFFERENCE, PLACEMENT, FeatureStore, is_finite
from tsrnet.video.time_grid import FRAME_RATE_HZ, MIN_SNIPPETS, TimeGrid

Shapes = Mapping[str, tuple[int, int]]
_TOLERANCE = 0.05  # share of the expected snippets by which a length may differ before it counts as odd


@dataclass(frozen=True)
class Imported:
    """What is in the store now.

    `streams`: width of each; `videos`: how many; `new`: how many of them were not there; `left_out`: id ->
    why it cannot be used; `warnings`: what may be wrong.
    """

    streams: Mapping[str, int]
    videos: int
    new: int
    left_out: Mapping[str, str]
    warnings: Sequence[str]


def import_features(
    source: Path, annotations: Path | None, store: FeatureStore, settings: LayoutSettings
) -> Imported:
    """Write or link all features of `source` into `store`; existing files are kept.

    Videos are left out that have other streams or widths than most, streams of different length, or NaN.
    Raises UserError where source or annotations cannot be read, or the store holds features of another
    source; FailedError where no video is left.
    """
    records = _records(source, annotations, settings)
    videos: dict[str, ImportedVideo] = {}
    shapes: dict[str, Shapes] = {}
    left_out: dict[str, str] = {}
    for video in READERS[settings.layout](source, records, settings):
        try:
            shapes[video.id] = _shapes(video)
            videos[video.id] = _placed(video, settings)
        except UserError as error:
            left_out[video.id] = str(error)
    if not videos:
        raise FailedError(_nothing(source, left_out))
    widths = dict(Counter(tuple(_widths(shape).items()) for shape in shapes.values()).most_common(1)[0][0])
    store.claim(_identity(source, videos, widths, settings))
    remove_parts_of_the_dead(store.folder)
    check_space(store.folder, sum(_num_bytes(video, store) for video in videos.values()))
    new = 0
    for video in track(videos.values(), total=len(videos), what=f"import into {store.folder}"):
        try:
            _check(shapes[video.id], widths)
            new += _import(video, store)
        except UserError as error:
            left_out[video.id] = str(error)
    kept = [video for video in videos.values() if video.id not in left_out]
    if not kept:
        raise FailedError(_nothing(source, left_out))
    warnings = _warnings(kept, shapes, records)
    if lacking := [name for name in records if name not in videos and name not in left_out]:
        warnings.append(f"{counted(len(lacking), 'annotated video')} without features: {listed(lacking)}")
    return Imported(widths, len(kept), new, left_out, warnings)


def _nothing(source: Path, left_out: Mapping[str, str]) -> str:
    first = "".join(f"; {video_id}: {reason}" for video_id, reason in list(left_out.items())[:1])
    return f"{source}: none of {counted(len(left_out), 'video')} can be used{first}"


def _records(source: Path, annotations: Path | None, settings: LayoutSettings) -> Records:
    """Durations and frame rates of the annotations by id, in their order."""
    if settings.layout == "basnet":
        if annotations is None:
            annotations = source / "gt.json" if (source / "gt.json").is_file() else None
        elif annotations.is_dir():
            annotations = annotations / "gt.json"
    if annotations is None:
        if settings.layout == "wtalc":
            raise UserError("annotations: got null, need the folder with videoname.npy (...-Annotations)")
        return {}
    found = wtalc_records(annotations) if annotations.is_dir() else list(detection_records(annotations))
    records = {record.id: record for record in found}
    if len(records) < len(found):
        twice = [name for name, count in Counter(record.id for record in found).items() if count > 1]
        raise UserError(f"{annotations}: lists {listed(twice)} more than once; need each video once")
    return records


def _placed(video: ImportedVideo, settings: LayoutSettings) -> ImportedVideo:
    """Replace rate, offset and width by those of the settings, if given; `TimeGrid` gives the rest."""
    if settings.rate_hz:
        video = replace(video, rate_hz=settings.rate_hz, offset_s=None, width_s=None)
    given = {key: value for key in PLACEMENT if (value := getattr(settings, key)) is not None}
    video = replace(video, **given)
    if not video.rate_hz:
        return video
    try:
        grid = _grid(video)
    except ValueError as error:
        raise UserError(str(error)) from error
    return replace(video, offset_s=grid.offset_s, width_s=grid.width_s)


def _grid(video: ImportedVideo) -> TimeGrid:
    return TimeGrid(**{key: value for key in PLACEMENT if (value := getattr(video, key)) is not None})


def _shapes(video: ImportedVideo) -> Shapes:
    """{stream: (n, d)} of a video that can be read."""
    if video.problem:
        raise UserError(video.problem)
    if not video.streams:
        raise UserError("it has no file of features")
    check_id(video.id)
    return {stream: part.array().shape for stream, part in video.streams.items()}


def _widths(shapes: Shapes) -> dict[str, int]:
    return {stream: shapes[stream][1] for stream in sorted(shapes)}


def _identity(
    source: Path, videos: Mapping[str, ImportedVideo], widths: Mapping[str, int], settings: LayoutSettings
) -> dict[str, Any]:
    """The content of features.json."""
    identity: dict[str, Any] = {
        "layout": settings.layout,
        "source": source.resolve().name,
        "streams": widths,
        "videos_sha256": hashlib.sha256("\n".join(videos).encode()).hexdigest(),
    }
    if source.is_file():
        print(f"checksum of {source} ...", flush=True)
        identity |= {"sha256": fingerprint(source)["sha256"], "sha256_of": "content"}
    else:
        parts = (part.source for video in videos.values() for part in video.streams.values())
        files = sorted({path for path in parts if isinstance(path, Path)})
        lines = [f"{path.relative_to(source)} {(s := path.stat()).st_size} {s.st_mtime_ns}" for path in files]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        identity |= {"sha256": digest, "sha256_of": "names, sizes and times of files"}
    for key in PLACEMENT:
        numbers = {name: value for name, v in videos.items() if (value := getattr(v, key)) is not None}
        if numbers:
            identity[key] = numbers if len(set(numbers.values())) > 1 else next(iter(numbers.values()))
    return identity


def _missing(video: ImportedVideo, store: FeatureStore) -> list[str]:
    return [stream for stream in video.streams if not store.path(stream, video.id).is_file()]


def _num_bytes(video: ImportedVideo, store: FeatureStore) -> int:
    """The largest number of bytes that importing a video can write."""
    parts = [video.streams[stream] for stream in _missing(video, store)]
    return sum(part.array().nbytes for part in parts if not part.file)


def _check(shapes: Shapes, widths: Mapping[str, int]) -> None:
    """UserError unless a video has the streams and widths of the others, and enough snippets."""
    if (own := _widths(shapes)) != widths:
        raise UserError(f"got {width_text(own)}, need {width_text(widths)} as most videos have")
    lengths = [length for length, _ in shapes.values()]
    if max(lengths) - min(lengths) > MAX_LENGTH_DIFFERENCE:
        got = ", ".join(f"{shape[0]} snippets of {stream}" for stream, shape in shapes.items())
        raise UserError(f"got {got}; need a difference of at most {MAX_LENGTH_DIFFERENCE}")
    if min(lengths) < MIN_SNIPPETS:
        raise UserError(f"got {counted(min(lengths), 'snippet')}, need at least {MIN_SNIPPETS}")


def width_text(widths: Mapping[str, int]) -> str:
    """As "flow of 1024 columns, rgb of 1024 columns"."""
    return ", ".join(f"{stream} of {width} columns" for stream, width in widths.items())


def _import(video: ImportedVideo, store: FeatureStore) -> bool:
    """Import a video; return whether anything was missing. UserError for NaN, before any writing."""
    missing = _missing(video, store)
    loaded = {stream: video.streams[stream].load() for stream in missing}
    for stream, features in loaded.items():
        if not is_finite(features):
            raise UserError(f"{stream} holds NaN or infinite values")
    for stream, features in loaded.items():
        if file := video.streams[stream].file:
            store.link(stream, video.id, file)
        else:
            store.write(stream, video.id, features)
    return bool(missing)


def _warnings(videos: Sequence[ImportedVideo], shapes: Mapping[str, Shapes], records: Records) -> list[str]:
    """Signs of other annotations, a wrong order or a wrong rate."""
    warnings = []
    if records and (unknown := [video.id for video in videos if video.id not in records]):
        warnings.append(f"{counted(len(unknown), 'video')} not in the annotations: {listed(unknown)}")
    odd, compared = [], 0
    for video in videos:
        duration_s = records[video.id].duration_s if video.id in records else None
        if not duration_s or not video.rate_hz:
            continue
        compared += 1
        expected = _grid(video).num_snippets(round(duration_s * FRAME_RATE_HZ))
        length = min(shape[0] for shape in shapes[video.id].values())
        if abs(length - expected) > max(MAX_LENGTH_DIFFERENCE + 1, _TOLERANCE * expected):
            odd.append(f"{video.id} has {length} snippets, expected {expected}")
    if odd:
        warnings.append(
            f"{len(odd)} of {counted(compared, 'video')} are not as long as rate and duration say ({odd[0]});"
            " where many are not, the order of the annotations or the rate is wrong"
        )
    return warnings
