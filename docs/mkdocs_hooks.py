"""MkDocs hooks: the site also has the pages and notebooks that lie outside docs/."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "README.md": "index.md",  # the start page of the site stands for it
    "notebooks": "notebooks/1_quickstart.ipynb",
    "tests/training/test_library.py": "howto/library.md",
}
"""Path in the repository -> path on the site; of what lies in docs/ they are the same."""
NOTEBOOKS = {f"notebooks/{path.name}": f"notebooks/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")}
_LINK = re.compile(r"(\]\()([^)\s#]+)([^)\s]*\))")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the files outside docs/."""
    for source, target in (PAGES | NOTEBOOKS).items():
        if (ROOT / source).is_file() and not files.get_file_from_path(target):
            files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Point relative links to where their targets are on the site."""
    source = os.path.relpath(page.file.abs_src_path, ROOT)
    here = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        before, target, after = link.groups()
        if ":" in target:
            return link.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        path = (PAGES | NOTEBOOKS).get(path, path.removeprefix("docs/"))
        return before + posixpath.relpath(path, here or ".") + after

    return _LINK.sub(moved, markdown)
