"""The page of a video keeps what it was given, plays it and jumps to where one clicks."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tsrnet.reporting.page import MAX_POINTS, Page, read_page, thin, write_page
from tsrnet.reporting.timeline import Detection
from tsrnet.reporting.web import script_text
from tsrnet.video.writer import write_video

HOSTILE = "</script><img src=x onerror=window.executed=1><!--<script>"
DETECTIONS = (
    Detection("run", 6.0, 7.5, 0.4),
    Detection("jump", 1.5, 3.0, 0.9),
    Detection("jump", 4.0, 5.0, 0.2),
)
DURATION_S = 8.0
RATE_HZ = 10


def frame(index: int) -> np.ndarray:
    """Brighter from frame to frame."""
    return np.full((48, 64, 3), 20 + 2 * index, np.uint8)


def jpeg(index: int) -> bytes:
    file = io.BytesIO()
    av.VideoFrame.from_ndarray(frame(index), format="rgb24").to_image().save(file, "JPEG")
    return file.getvalue()


PAGE = Page(
    title="v_1",
    duration_s=DURATION_S,
    rate_hz=2.0,
    detections=DETECTIONS,
    curves={"attention RGB": np.linspace(0, 1, 16, dtype=np.float32)},
    probabilities={"run": 0.25, "jump": 0.875},
    thumbnails=[(second, jpeg(10 * index)) for index, second in enumerate((0.0, 2.0, 4.0, 6.0))],
    video=None,
)


def embedded(path: Path) -> dict[str, Any]:
    (script,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text(), re.S
    )
    assert read_page(path) == json.loads(script)
    return read_page(path)


def test_the_page_embeds_everything_whatever_the_names_are(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    hostile = Detection(HOSTILE, 0.0, 1.0, 0.5)
    page = replace(PAGE, title=HOSTILE, note=HOSTILE, detections=[hostile], video=("video/mp4", b"abc"))
    page = replace(page, curves={HOSTILE: PAGE.curves["attention RGB"]}, probabilities={HOSTILE: 0.5})
    write_page(path, page)
    assert HOSTILE not in path.read_text()
    data = embedded(path)
    assert (data["title"], data["note"]) == (HOSTILE, HOSTILE)
    assert data["detections"] == [{"label": HOSTILE, "start_s": 0.0, "end_s": 1.0, "score": 0.5}]
    assert data["probabilities"] == [[HOSTILE, 0.5]]
    assert data["curves"][0]["title"] == HOSTILE
    assert data["curves"][0]["values"] == pytest.approx(PAGE.curves["attention RGB"], abs=5e-4)
    assert data["video"] == "video/mp4"
    assert script_text(path, "video") == "YWJj"
    assert len(data["thumbnails"]) == 4


def test_the_name_of_the_place_of_the_data_can_be_a_title(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", replace(PAGE, title="@DATA@"))
    assert embedded(tmp_path / "a.html")["title"] == "@DATA@"


def test_the_page_names_no_other_place(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", PAGE)
    text = (tmp_path / "a.html").read_text()
    assert set(re.findall(r"\w+://[^\"'` ]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, not fetched


@pytest.mark.parametrize("length", [1, MAX_POINTS, MAX_POINTS + 1, 7 * MAX_POINTS - 3])
def test_a_thinned_curve_keeps_every_peak(length: int) -> None:
    values = np.random.default_rng(length).random(length, np.float32)
    thinned, width = thin(values)
    assert len(thinned) <= MAX_POINTS
    assert (width == 1) == (length <= MAX_POINTS)
    expected = [max(values[start : start + width]) for start in range(0, length, width)]
    np.testing.assert_array_equal(thinned, np.array(expected, np.float32))


def test_a_thinned_curve_stays_where_it_was_in_time(tmp_path: Path) -> None:
    values = np.zeros(6000, np.float32)  # 3 values a bin
    values[3000:3003] = 1
    write_page(tmp_path / "a.html", replace(PAGE, rate_hz=1.0, duration_s=6000.0, curves={"a": values}))
    curve = embedded(tmp_path / "a.html")["curves"][0]
    assert [i for i, value in enumerate(curve["values"]) if value] == [1000]
    assert curve["first_s"] + 1000 * curve["step_s"] == 3001.0


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    write_page(path, PAGE)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_page(path, replace(PAGE, detections=[Detection("a", 0.0, 1.0, float("nan"))]))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# In a browser.


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """8 s of H.264, 10 Hz, brighter from frame to frame."""
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    write_video(path, map(frame, range(int(DURATION_S * RATE_HZ))), frame_rate_hz=RATE_HZ)
    return "video/mp4", path.read_bytes()


@pytest.fixture
def open_tab(open_path: Any, tmp_path: Path) -> Any:
    """`open_tab(page)`: the page in a browser."""

    def open_tab(page: Page, **options: Any) -> Any:
        path = tmp_path / "page.html"
        write_page(path, page)
        return open_path(path, **options)

    return open_tab


def plays(tab: Any) -> None:
    tab.wait(lambda: tab.page.evaluate("document.querySelector('video#player').readyState >= 2"))


@pytest.mark.process
def test_the_page_loads_nothing_and_shows_every_detection(open_tab: Any, video: tuple[str, bytes]) -> None:
    tab = open_tab(replace(PAGE, video=video))
    plays(tab)
    assert tab.complaints == []
    assert set(tab.fetched) <= {"file", "blob", "data"}
    assert tab.page.locator(".segment").count() == len(DETECTIONS)
    rows = [row.split("\t") for row in tab.page.locator(".detection-row").all_inner_texts()]
    assert rows == [
        ["0:01.5 – 0:03.0", "jump", "0.900"],
        ["0:04.0 – 0:05.0", "jump", "0.200"],
        ["0:06.0 – 0:07.5", "run", "0.400"],
    ]
    assert tab.page.locator("#classes li").all_inner_texts() == ["jump\n87.5 %", "run\n25.0 %"]
    assert tab.page.evaluate("document.querySelector('video').videoWidth") == 64


@pytest.mark.process
def test_a_segment_lies_where_its_seconds_are(open_tab: Any) -> None:
    tab = open_tab(PAGE)
    box = tab.segment("jump", "0:01.5").bounding_box()
    lane = tab.page.locator(".lane").first.bounding_box()
    assert box["x"] - lane["x"] == pytest.approx(1.5 / DURATION_S * lane["width"], abs=2)
    assert box["width"] == pytest.approx(1.5 / DURATION_S * lane["width"], abs=3)


@pytest.mark.process
@pytest.mark.parametrize("embedded", [True, False], ids=["video", "thumbnails"])
def test_clicks_and_keys_move_the_player_and_start_nothing(
    open_tab: Any, video: tuple[str, bytes], embedded: bool
) -> None:
    tab = open_tab(replace(PAGE, video=video if embedded else None))
    if embedded:
        plays(tab)
    tab.segment("run", "0:06.0").click()
    assert tab.time() == pytest.approx(6.0, abs=0.1)
    assert tab.playhead() == pytest.approx(6.0, abs=0.05)
    tab.click_lane(5.2)
    assert tab.time() == pytest.approx(5.2, abs=0.1)
    tab.segment("jump", "0:01.5").focus()
    assert "score 0.900" in tab.page.locator("#tip").inner_text()
    tab.page.keyboard.press("Enter")
    assert tab.time() == pytest.approx(1.5, abs=0.1)
    tab.page.locator(".detection-row", has_text="0.200").click()
    assert tab.time() == pytest.approx(4.0, abs=0.1)
    assert tab.playhead() == pytest.approx(4.0, abs=0.05)
    assert tab.page.locator(".detection-row.now").all_inner_texts() == ["0:04.0 – 0:05.0\tjump\t0.200"]
    assert tab.page.locator(".row:has(.segment.now) .name").all_inner_texts() == ["jump"]
    assert tab.paused()


@pytest.mark.process
@pytest.mark.parametrize("embedded", [True, False], ids=["video", "thumbnails"])
def test_the_playhead_follows_and_a_click_does_not_stop_it(
    open_tab: Any, video: tuple[str, bytes], embedded: bool
) -> None:
    tab = open_tab(replace(PAGE, video=video if embedded else None))
    if embedded:
        plays(tab)
    tab.page.evaluate("document.querySelector('#player').muted = true")
    tab.page.evaluate("document.querySelector('#player').play()")
    tab.wait(lambda: tab.playhead() > 0.4)
    tab.segment("jump", "0:04.0").click()
    tab.wait(lambda: tab.playhead() > 4.4)
    assert not tab.paused()


@pytest.mark.process
def test_the_pictures_play_to_the_end_and_begin_anew(open_tab: Any) -> None:
    tab = open_tab(PAGE)
    tab.click_lane(7.8)
    tab.page.get_by_role("button", name="Play").click()
    tab.wait(tab.paused)
    assert tab.time() == DURATION_S
    tab.page.get_by_role("button", name="Play").click()
    tab.page.get_by_role("button", name="Pause").click()
    assert tab.time() < 4.0


@pytest.mark.process
@pytest.mark.parametrize(("time_s", "shown"), [(1.9, 0), (2.1, 1), (5.9, 2), (7.5, 3)])
def test_the_picture_at_or_before_the_time_is_shown(open_tab: Any, time_s: float, shown: int) -> None:
    tab = open_tab(PAGE)
    tab.click_lane(time_s)
    assert tab.shows_picture() == shown


@pytest.mark.process
def test_a_video_that_does_not_play_is_shown_in_pictures(open_tab: Any) -> None:
    tab = open_tab(replace(PAGE, video=("video/mp4", b"no video at all" * 99)))
    tab.page.wait_for_selector("#player img")
    status = tab.page.locator("#reason").inner_text()
    assert status == "This browser cannot play the video; here are pictures of it."
    tab.segment("run", "0:06.0").click()
    assert tab.time() == 6.0
    assert tab.shows_picture() == 3


@pytest.mark.process
def test_the_filter_hides_weak_detections(open_tab: Any) -> None:
    tab = open_tab(PAGE)
    least = tab.page.get_by_label("Score at least")
    for score, expected in ((0.3, ["0.900", "0.400"]), (0.9, ["0.900"]), (0, ["0.900", "0.200", "0.400"])):
        least.evaluate(
            "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }", score
        )
        shown = [row for row in tab.page.locator(".detection-row").all() if row.is_visible()]
        assert [row.inner_text().split("\t")[-1] for row in shown] == expected
        segments = [node for node in tab.page.locator(".segment").all() if node.is_visible()]
        assert sorted(node.get_attribute("aria-label")[-5:] for node in segments) == sorted(expected)


@pytest.mark.process
def test_no_detection_is_said_plainly(open_tab: Any) -> None:
    tab = open_tab(replace(PAGE, detections=[], thumbnails=[], probabilities={}, curves={}))
    assert tab.page.get_by_text("No action was found").is_visible()
    assert tab.page.locator("#reason").inner_text().endswith("there are no pictures of it.")
    assert tab.complaints == []


@pytest.mark.process
def test_hostile_names_are_shown_and_execute_nothing(open_tab: Any) -> None:
    hostile = [Detection(HOSTILE, 1.0, 2.0, 0.5)]
    page = replace(PAGE, title=HOSTILE, note=HOSTILE, detections=hostile, probabilities={HOSTILE: 0.5})
    tab = open_tab(replace(page, curves={HOSTILE: PAGE.curves["attention RGB"]}))
    tab.page.locator(".segment").hover()
    for place in (
        "#title",
        "#note",
        ".class .name",
        ".curve .name",
        ".detection-row td:nth-child(2)",
        "#tip",
    ):
        assert HOSTILE in tab.page.locator(place).inner_text()
    assert tab.page.title() == HOSTILE
    assert tab.page.evaluate("window.executed") is None
    assert tab.page.locator("img").count() == 1  # the player's
    assert tab.complaints == []


@pytest.mark.process
def test_the_page_leaves_no_global_names(open_tab: Any) -> None:
    tab = open_tab(PAGE)
    names = ("data", "seek", "get", "marks", "make", "ThumbnailPlayer")
    kinds = {name: tab.page.evaluate(f"typeof window['{name}']") for name in names}
    # An element's id is a property of window by itself.
    assert kinds == {name: "object" if name == "data" else "undefined" for name in names}


@pytest.mark.process
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_and_can_be_read(open_tab: Any, scheme: str, width: int) -> None:
    long = "a-file-name-without-any-place-to-break-it-" * 4
    found: Sequence[Detection] = [Detection(long, 10.0 * i, 10.0 * i + 2, i / 720) for i in range(720)]
    page = replace(PAGE, title=long, note=long, duration_s=7200.0, detections=found)
    tab = open_tab(page, color_scheme=scheme, viewport={"width": width, "height": 800})
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    background, colour = tab.page.evaluate(
        "['backgroundColor', 'color'].map(name => getComputedStyle(document.body)[name])"
    )
    brightness = [sum(map(int, re.findall(r"\d+", value)[:3])) / 765 for value in (background, colour)]
    assert abs(brightness[0] - brightness[1]) > 0.7
    assert (brightness[0] < brightness[1]) == (scheme == "dark")
    narrowest = tab.page.evaluate(
        "Math.min(...[...document.querySelectorAll('.segment')].map(s => s.getBoundingClientRect().width))"
    )
    assert narrowest == pytest.approx(3, abs=0.01)
    ticks = [span.bounding_box() for span in tab.page.locator(".tick span").all()]
    assert len(ticks) >= 3
    for left, right in itertools.pairwise(ticks):
        assert left["x"] + left["width"] < right["x"]
