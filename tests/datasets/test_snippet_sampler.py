"""Sampled snippets and how they are augmented."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tsrnet.datasets.snippet_sampler import SamplingSettings, _turn_flow, augment, sample_snippets


@pytest.mark.parametrize("length", [16, 17, 50, 1000])
def test_one_snippet_comes_from_each_equal_part(length: int) -> None:
    seen = set()
    for seed in range(20):
        chosen = sample_snippets(length, 16, np.random.default_rng(seed))
        assert ((chosen + 1) / length * 16 > np.arange(16)).all()
        assert (chosen / length * 16 < np.arange(1, 17)).all()
        seen.add(tuple(chosen))
    assert (len(seen) > 15) == (length > 16)


def test_a_short_video_gives_all_it_has() -> None:
    assert sample_snippets(3, 16, np.random.default_rng(0)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("stream", ["rgb", "flow"])
def test_all_snippets_of_a_video_are_seen_alike(stream: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (1, 20, 24, 3) if stream == "rgb" else (1, 10, 20, 24)
    one = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    still = one.expand(4, *shape[1:])
    settings = SamplingSettings(rotation=30, crop=0.5, mirror=True)
    results = [augment(still, stream, settings, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    for result in results:
        assert result.shape == still.shape
        assert result.dtype == torch.uint8
        assert all(bool((frame == result[0]).all()) for frame in result)
    assert bool((results[0] == results[1]).all())
    assert not bool((results[0] == results[2]).all())
    plain = augment(still, stream, SamplingSettings(rotation=0, crop=1), np.random.default_rng(0))
    assert bool((plain == still).all())


@pytest.mark.parametrize(
    ("angle", "mirrored", "wanted"),
    [(0, False, (40, 20)), (90, False, (20, -40)), (-90, False, (-20, 40)), (0, True, (-40, 20))],
)
def test_flow_turns_with_the_picture(angle: float, mirrored: bool, wanted: tuple[int, int]) -> None:
    """40 to the right and 20 down; turned by 90 degrees anticlockwise that is 40 up and 20 to the right."""
    still = torch.tensor([127.5 + 40, 127.5 + 20]).repeat(5).view(1, 10, 1, 1)
    turned = _turn_flow(still, angle, zoom=1.0, mirrored=mirrored).float() - 127.5
    assert turned.view(5, 2).sub(torch.tensor(wanted)).abs().max() <= 0.5
    doubled = _turn_flow(still, angle, zoom=2.0, mirrored=mirrored).float() - 127.5
    assert doubled.view(5, 2).sub(2 * torch.tensor(wanted)).abs().max() <= 0.5
