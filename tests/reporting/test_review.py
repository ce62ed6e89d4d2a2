"""Detections are corrected on their page, and the index shows and combines what was corrected."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsrnet.reporting.page import Page, read_page, write_page
from tsrnet.reporting.review import doubt, write_index
from tsrnet.reporting.timeline import Detection

HOSTILE = "</script><img src=x onerror=window.executed=1><!--<script>"
DURATION_S = 20.0
PAGE = Page(
    title="v_1.mp4",
    id="v_1",
    duration_s=DURATION_S,
    rate_hz=2.0,
    detections=[
        Detection("jump", 2.0, 6.0, 0.9),
        Detection("run", 8.0, 12.0, 0.2),
        Detection("jump", 14.004, 18.0, 0.6),
    ],
    curves={"attention RGB": np.linspace(0, 1, 40, dtype=np.float32)},
    probabilities={"jump": 0.7, "run": 0.2, "wave": 0.1},
    thumbnails=[],
    video=None,
    classes=("jump", "run", "wave"),
)
UNTOUCHED = [("jump", 2.0, 6.0), ("run", 8.0, 12.0), ("jump", 14.0, 18.0)]


@pytest.fixture
def open_page(open_path: Any, tmp_path: Path) -> Any:
    def open_page(page: Page = PAGE, **options: Any) -> Any:
        write_page(tmp_path / "page.html", page)
        return open_path(tmp_path / "page.html", **options)

    return open_page


def exported(tab: Any, name: str = "v_1") -> list[tuple[str, float, float]]:
    """What the button exports of a video."""
    with tab.page.expect_download() as waiting:
        tab.page.get_by_role("button", name="Export").click()
    content = json.loads(Path(waiting.value.path()).read_text())
    entry = content["database"][name]
    assert entry["duration"] == DURATION_S
    return [(one["label"], *one["segment"]) for one in entry["annotations"]]


def shown(tab: Any) -> list[list[str]]:
    """Time and class of the rows of the table."""
    return [row.split("\t")[:2] for row in tab.page.locator(".detection-row").all_inner_texts()]


def drag(tab: Any, x: float, y: float, by_s: float) -> None:
    lane = tab.page.locator(".lane").first.bounding_box()
    mouse = tab.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + by_s / DURATION_S * lane["width"] / 2, y)
    mouse.move(x + by_s / DURATION_S * lane["width"], y)
    mouse.up()


def keys(tab: Any, *names: str) -> None:
    for name in names:
        tab.page.keyboard.press(name)


def tell_time(tab: Any, time_s: float) -> None:
    tab.page.evaluate("time => { document.querySelector('#player').currentTime = time; }", time_s)


@pytest.mark.process
@pytest.mark.parametrize(("edge", "by_s"), [("start", -1.0), ("start", 2.0), ("end", 1.5), ("end", -2.0)])
def test_an_edge_is_dragged(open_page: Any, edge: str, by_s: float) -> None:
    tab = open_page()
    box = tab.segment("run", "0:08.0").bounding_box()
    x = box["x"] + (2 if edge == "start" else box["width"] - 2)
    drag(tab, x, box["y"] + box["height"] / 2, by_s)
    label, start_s, end_s = exported(tab)[1]
    assert label == "run"
    assert start_s == pytest.approx(8.0 + (by_s if edge == "start" else 0), abs=0.05)
    assert end_s == pytest.approx(12.0 + (by_s if edge == "end" else 0), abs=0.05)
    assert tab.time() == pytest.approx(start_s if edge == "start" else end_s, abs=0.001)
    assert [row[0] for row in shown(tab)] == ["0:02.0 – 0:06.0", tab_span(start_s, end_s), "0:14.0 – 0:18.0"]
    assert tab.complaints == []


def tab_span(start_s: float, end_s: float) -> str:
    return " – ".join(f"0:{time_s + 1e-9:04.1f}" for time_s in (start_s, end_s))


@pytest.mark.process
@pytest.mark.parametrize(("by_s", "expected"), [(-30.0, 0.0), (30.0, 11.9)])
def test_an_edge_stays_in_the_video_and_before_the_other(
    open_page: Any, by_s: float, expected: float
) -> None:
    tab = open_page()
    box = tab.segment("run", "0:08.0").bounding_box()
    drag(tab, box["x"] + 2, box["y"] + 5, by_s)
    assert next(one for one in exported(tab) if one[0] == "run") == ("run", expected, 12.0)


@pytest.mark.process
def test_a_finger_drags_a_handle_of_the_selected_segment(open_page: Any) -> None:
    tab = open_page(has_touch=True, viewport={"width": 400, "height": 800})
    tab.segment("run", "0:08.0").tap()
    box = tab.page.locator('.handle[data-edge="end_s"]').bounding_box()
    drag(tab, box["x"] + box["width"] / 2, box["y"] + 5, 2.0)
    assert exported(tab)[1] == ("run", 8.0, pytest.approx(14.0, abs=0.1))
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 400


@pytest.mark.process
def test_everything_can_be_done_with_the_keyboard(open_page: Any) -> None:
    tab = open_page()
    keys(tab, "j", "j")  # run, 8 to 12
    assert tab.time() == 8.0
    keys(tab, "ArrowLeft", "i")
    tell_time(tab, 11.5)
    keys(tab, ".", ".", ".", "o", "3")
    assert exported(tab) == [UNTOUCHED[0], ("wave", 7.0, 11.6), UNTOUCHED[2]]
    keys(tab, "c")
    tab.page.keyboard.type("a class of my own")
    keys(tab, "Enter", "c")
    tab.page.keyboard.type("dropped")
    keys(tab, "Escape", "j", "Delete")  # the segment before is selected then
    tell_time(tab, 16.25)
    keys(tab, "n")
    changed = [UNTOUCHED[0], ("a class of my own", 7.0, 11.6), ("a class of my own", 16.25, 18.25)]
    assert exported(tab) == changed
    keys(tab, "z")
    assert exported(tab) == changed[:2]
    keys(tab, "Shift+Z")
    assert exported(tab) == changed
    keys(tab, "z", "z", "z", "z", "z", "z", "z", "z")
    assert exported(tab) == UNTOUCHED
    assert tab.page.locator(".detection-row.accepted").count() == 0
    keys(tab, "k", "a")
    assert tab.page.locator(".detection-row.accepted").count() == 1
    keys(tab, "Shift+A", "r")
    assert tab.page.locator(".detection-row.accepted").count() == 3
    assert tab.page.get_by_label("Reviewed").is_checked()
    with tab.page.expect_download():
        keys(tab, "x")
    assert tab.complaints == []


@pytest.mark.process
def test_the_help_lists_the_keys_and_a_field_takes_letters(open_page: Any) -> None:
    tab = open_page()
    keys(tab, "?")
    listed = tab.page.locator("#keys dt").all_inner_texts()
    assert {"N", "Delete", "Shift+A", "?"} <= set(listed)
    keys(tab, "n")  # does nothing behind the help
    keys(tab, "Escape", "j", "c")
    tab.page.keyboard.type("xnr")
    keys(tab, "Tab")
    assert exported(tab) == [("xnr", 2.0, 6.0), *UNTOUCHED[1:]]
    assert not tab.page.get_by_label("Reviewed").is_checked()


@pytest.mark.process
def test_fields_take_exact_times(open_page: Any) -> None:
    tab = open_page()
    tab.segment("run", "0:08.0").click()
    tab.page.get_by_label("Start").fill("7.25")
    tab.page.get_by_label("End").fill("99")
    tab.page.keyboard.press("Enter")
    assert exported(tab)[1] == ("run", 7.25, DURATION_S)


@pytest.mark.process
def test_the_export_is_what_is_shown(open_page: Any) -> None:
    tab = open_page()
    tab.segment("run", "0:08.0").click()
    keys(tab, "j", "Delete")  # the last jump
    tab.page.get_by_label("Score at least").evaluate(
        "node => { node.value = 0.5; node.dispatchEvent(new Event('input')); }"
    )
    assert shown(tab) == [["0:02.0 – 0:06.0", "jump"]]
    assert exported(tab) == UNTOUCHED[:1]


@pytest.mark.process
def test_edits_survive_a_reload_and_belong_to_these_detections(open_page: Any, tmp_path: Path) -> None:
    tab = open_page()
    keys(tab, "j", "2", "r")
    tab.page.reload()
    edited = [("run", 2.0, 6.0), *UNTOUCHED[1:]]
    assert exported(tab) == edited
    assert tab.page.get_by_label("Reviewed").is_checked()
    write_page(tmp_path / "page.html", replace(PAGE, detections=PAGE.detections[:1]))
    tab.page.reload()
    assert exported(tab) == UNTOUCHED[:1]
    write_page(tmp_path / "page.html", PAGE)
    tab.page.reload()
    assert exported(tab) == edited


@pytest.mark.process
def test_an_export_is_imported(open_page: Any, tmp_path: Path) -> None:
    tab = open_page()
    entry = {
        "annotations": [{"label": "wave", "segment": [1.5, 2.5]}, {"label": HOSTILE, "segment": [3, 99]}]
    }
    (tmp_path / "a.json").write_text(json.dumps({"database": {"v_1": entry, "other": {}}}))
    tab.page.set_input_files("#import", tmp_path / "a.json")
    tab.wait(lambda: len(shown(tab)) == 2)
    assert exported(tab) == [("wave", 1.5, 2.5), (HOSTILE, 3.0, DURATION_S)]
    rows = [{"label": "run", "segment": [4, 5], "score": 0.25}]
    (tmp_path / "b.json").write_text(json.dumps({"results": {"v_1": rows}}))
    tab.page.set_input_files("#import", tmp_path / "b.json")
    tab.wait(lambda: len(shown(tab)) == 1)
    assert exported(tab) == [("run", 4.0, 5.0)]
    (tmp_path / "c.json").write_text(json.dumps({"database": {"v_2": entry}}))
    for wrong in ("c.json", "page.html"):
        tab.page.set_input_files("#import", tmp_path / wrong)
        tab.wait(lambda wrong=wrong: wrong in tab.page.locator("#message").inner_text())
    assert exported(tab) == [("run", 4.0, 5.0)]
    assert tab.page.evaluate("window.executed") is None


@pytest.mark.process
def test_hostile_names_execute_nothing_and_come_back(open_page: Any) -> None:
    hostile = replace(PAGE, id="__proto__", title=HOSTILE, classes=[HOSTILE, "run"])
    tab = open_page(replace(hostile, detections=[Detection(HOSTILE, 1.0, 2.0, 0.5)]))
    keys(tab, "j", "?", "Escape", "2", "1")
    with tab.page.expect_download() as waiting:
        keys(tab, "x")
    content = json.loads(Path(waiting.value.path()).read_text())
    assert content["database"]["__proto__"]["annotations"] == [{"label": HOSTILE, "segment": [1.0, 2.0]}]
    assert tab.page.evaluate("window.executed") is None
    assert tab.page.get_by_label("Class", exact=True).input_value() == HOSTILE
    assert tab.complaints == []


@pytest.mark.process
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_500_segments_are_edited_and_fit_a_phone(open_page: Any, scheme: str) -> None:
    many = [Detection(f"class {i % 40}", 7 * i, 7 * i + 4, i / 500) for i in range(500)]
    options = {"viewport": {"width": 400, "height": 800}, "color_scheme": scheme}
    tab = open_page(replace(PAGE, duration_s=3600.0, detections=many, classes=[]), **options)
    assert tab.page.locator(".segment").count() == 500
    keys(tab, "j", "Delete", "j", "+", "+", "i")
    assert tab.page.locator(".segment").count() == 499
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 400
    assert tab.page.locator("#count").inner_text() == "499"
    scroller = tab.page.locator("#scroller")
    assert scroller.evaluate("node => node.scrollWidth / node.clientWidth") == pytest.approx(4, abs=0.2)
    brightness = """([id, name]) => getComputedStyle(document.querySelector(id))[name]
        .match(/[0-9]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)"""
    sides = (("body", "backgroundColor"), ("#label", "backgroundColor"), ("#label", "color"))
    background, field, text = (tab.page.evaluate(brightness, list(side)) for side in sides)
    assert (background < 382) == (field < 382) == (text > 382) == (scheme == "dark")


@pytest.mark.process
def test_the_timeline_zooms_and_a_drag_is_finer_there(open_page: Any) -> None:
    tab = open_page()
    tab.segment("run", "0:08.0").click()
    keys(tab, "+", "+")
    box = tab.segment("run", "0:08.0").bounding_box()
    lane = tab.page.locator(".lane").first.bounding_box()
    assert box["width"] == pytest.approx(4.0 / DURATION_S * lane["width"], abs=4)
    drag(tab, box["x"] + 2, box["y"] + 5, 0.5)
    assert exported(tab)[1] == ("run", pytest.approx(8.5, abs=0.02), 12.0)


# The index.


def test_doubt_is_how_close_the_classes_were() -> None:
    probabilities = [("a", 0.6), ("b", 0.3), ("c", 0.1)]
    assert doubt(probabilities, {"a"}) == pytest.approx(0.7)
    assert doubt(probabilities, {"a", "b"}) == pytest.approx(0.8)
    assert doubt(probabilities, {"a", "b", "c"}) == pytest.approx(0.9)
    assert doubt(probabilities, set()) == doubt(probabilities, {"b"}) == 1.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pages of three videos with their index, and one with a hostile name."""
    probabilities = {"sure": {"jump": 0.9, "run": 0.05}, "unsure": {"jump": 0.5, "run": 0.45}, HOSTILE: {}}
    for number, (name, values) in enumerate(probabilities.items()):
        found = [Detection("run" if name == HOSTILE else "jump", 1.0, 2.0, 0.5)]
        page = replace(PAGE, id=name, title=name, probabilities=values, detections=found)
        write_page(tmp_path / f"page {number}.html", page)
    pages = {path.name: read_page(path) for path in tmp_path.glob("*.html")}
    write_index(tmp_path / "index.html", pages)
    return tmp_path


def titles(tab: Any) -> list[str]:
    # Not the inner text: the browser has none yet for a card that it has not drawn (content-visibility).
    found: list[str] = tab.page.locator("#videos strong").all_text_contents()
    return found


@pytest.mark.process
def test_the_index_sorts_by_doubt_and_filters(open_path: Any, folder: Path) -> None:
    tab = open_path(folder / "index.html")
    assert titles(tab) == [HOSTILE, "unsure", "sure"]
    tab.page.get_by_label("Sort by").select_option("name")
    assert set(titles(tab)[1:]) == {"sure", "unsure"}
    tab.page.get_by_label("Class").select_option("jump")
    assert titles(tab) == ["sure", "unsure"]
    tab.page.get_by_role("searchbox").fill("uns")
    assert titles(tab) == ["unsure"]
    assert tab.page.evaluate("window.executed") is None
    assert tab.complaints == []
    assert set(tab.fetched) <= {"file", "data"}


@pytest.mark.process
def test_the_index_shows_the_progress_and_exports_all_corrections(
    open_path: Callable[..., Any], folder: Path
) -> None:
    tab = open_path(folder / "index.html")
    tab.page.get_by_text("unsure").click()
    tab.page.wait_for_url("**/page%201.html#index")
    keys(tab, "j", "2", "r")
    tab.page.get_by_role("button", name="Next video").click()
    tab.page.wait_for_url("**/page%200.html#index")
    keys(tab, "j", "Delete")
    tab.page.get_by_role("link", name="All videos").click()
    assert tab.page.locator("#done").inner_text() == "1 of 3 reviewed"
    assert [state.split()[0] for state in tab.page.locator(".state").all_text_contents()] == [
        "not",
        "reviewed",
        "started",
    ]
    assert exported(tab, "unsure") == [("run", 1.0, 2.0)]
    assert exported(tab, "sure") == []


@pytest.mark.process
def test_the_index_imports_corrections(open_path: Any, folder: Path, tmp_path: Path) -> None:
    tab = open_path(folder / "index.html", viewport={"width": 400, "height": 800})
    entry = {"annotations": [{"label": "wave", "segment": [3, 4]}]}
    (tmp_path / "a.json").write_text(json.dumps({"database": {"sure": entry}}))
    (tmp_path / "b.json").write_text("{")
    tab.page.set_input_files("#import", [tmp_path / "a.json", tmp_path / "b.json"])
    tab.wait(lambda: "b.json" in tab.page.locator("#message").inner_text())
    assert tab.page.locator("#done").inner_text() == "1 of 3 reviewed"
    assert exported(tab, "sure") == [("wave", 3.0, 4.0)]
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 400
