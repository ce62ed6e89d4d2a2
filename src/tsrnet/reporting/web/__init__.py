"""Puts a self-contained page together from the HTML, CSS and JavaScript beside this file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

_PLACE = re.compile("@([A-Z]+)@")
_CHUNK = 1 << 20


def html(name: str, scripts: Sequence[str], **texts: str) -> Iterator[str]:
    """The parts of a page, `<name>.html` in `frame.html`: each @NAME@ is replaced, @STYLE@ and @SCRIPT@ by
    files."""
    styles = ("common.css", f"{name}.css")
    texts |= {"STYLE": "".join(map(_read, styles)), "SCRIPT": "".join(map(_read, scripts))}
    template = _read("frame.html").replace("@BODY@", _read(f"{name}.html"))
    for i, part in enumerate(_PLACE.split(template)):
        yield texts[part] if i % 2 else part


def as_json(data: Any) -> str:
    """JSON that cannot end a <script> element, whatever names it holds."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def script_text(path: Path, element: str) -> str | None:
    """The text of a page's <script> with this id, None without one; what comes after it is not read."""
    begin, end = f' id="{element}">', "</script>"
    text, start = "", -1
    with path.open(encoding="utf-8", errors="replace") as file:
        while chunk := file.read(_CHUNK):
            known = max(0, len(text) - len(begin))
            text += chunk
            start = text.find(begin, known) if start < 0 else start
            if start >= 0 and (stop := text.find(end, max(start, known))) >= 0:
                return text[start + len(begin) : stop]
    return None


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
