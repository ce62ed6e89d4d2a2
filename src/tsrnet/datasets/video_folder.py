"""Finds the video files of a folder by their names in a table or a list."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path, PurePath

from tsrnet.core.errors import UserError
from tsrnet.core.wording import listed


class VideoFolder:
    """The video files of a folder with the usual suffixes; hidden files are ignored.

    Args:
        folder: need not exist.
        patterns: which files; the default is all files, also in subfolders.
    """

    def __init__(self, folder: Path, *patterns: str) -> None:
        found = {
            name
            for pattern in patterns or ("**/*",)
            for name in glob.iglob(pattern, root_dir=folder, recursive=True)
            if without_suffix(name) != name
        }
        self.folder, self.names = folder, tuple(sorted(found))
        self._indices: tuple[dict[str, list[str]], ...] = ({}, {}, {}, {})
        for name in self.names:
            for index, key in zip(self._indices, _keys(name, PurePath(name).name), strict=True):
                index.setdefault(key, []).append(name)

    def find(self, name: str) -> Path | None:
        """The file with this path inside the folder, file name or id; the suffix may differ, and `v_` may be
        before an id (ActivityNet).

        Raises UserError where several files fit.
        """
        for index, key in zip(self._indices, _keys(name, name), strict=True):
            if found := index.get(key):
                if len(found) > 1:
                    raise UserError(
                        f"{self.folder}: got {listed(found)} for the video {name!r}, need one file;"
                        " name it with its folder and suffix, or remove one"
                    )
                return self.folder / found[0]
        return None if name.startswith("v_") or "/" in name else self.find(f"v_{name}")

    def of_ids(self, ids: Iterable[str]) -> dict[str, Path]:
        """Id -> file for the files that exist; .mp4 is preferred to other suffixes."""
        found = ((video_id, self.find(f"{video_id}.mp4")) for video_id in ids)
        return {video_id: path for video_id, path in found if path}


def without_suffix(name: str) -> str:
    """A file name or path without the suffix of a video; anything else as it is."""
    from tsrnet.video.video_file import SUFFIXES  # loads the decoders, which scoring does not need

    return name.removesuffix(suffix) if (suffix := PurePath(name).suffix).lower() in SUFFIXES else name


def _keys(path: str, name: str) -> tuple[str, ...]:
    """Ways to name a file, the most exact first."""
    return path, name, without_suffix(path), without_suffix(name)
