"""A message is one line of at most 300 characters; what is optional costs only itself."""

from __future__ import annotations

import pytest

from tsrnet.core.errors import UserError, one_line, optional


@pytest.mark.parametrize(
    "text",
    [
        "a line",
        "two\nlines\t and\r more",
        f"features.name: got {'x' * 5000}, need a name",
        f"/data/{'a' * 200}/{'b' * 200}.json: line 3: {'c' * 400}",
        "word " * 1000,
        "\x00\x1b[31m\udcff\u2028",
        "",
    ],
)
def test_it_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 300
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    if len(text) <= 300 and text.isprintable():
        assert line == text


def test_long_values_are_cut_in_the_middle_and_the_rest_stays() -> None:
    line = one_line(f"features.name: got a{'x' * 5000}z, need a name; give another")
    assert line.startswith("features.name: got axxx")
    assert line.endswith("xxxz, need a name; give another")
    assert "..." in line


def test_what_is_optional_costs_only_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with optional("a.png"):
        raise ValueError("mathtext\nis hard")
    assert capsys.readouterr().err == "a.png: could not be made (ValueError: mathtext is hard)\n"
    with pytest.raises(UserError, match="full"), optional("a.png"):
        raise UserError("the disk is full")
