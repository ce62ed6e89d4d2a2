"""Maximum mean discrepancy, eq. (7) and (8)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tsrnet.losses.mmd import median_bandwidth, mmd2, transfer_fc1, transfer_fc2
from tsrnet.models.classifier import Classifier


def rows(n: int, *, seed: int, d: int = 4, shift: float = 0.0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)) + shift)


def reference_kernel(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """Gaussian kernels of 1/4, 1/2, 1, 2 and 4 times the bandwidth, summed (D10)."""
    distance = sum((p - q) ** 2 for p, q in zip(x, y, strict=True))
    return sum(np.exp(-distance / (2 * s * bandwidth)) for s in (0.25, 0.5, 1, 2, 4))


def reference_mmd2(t: np.ndarray, u: np.ndarray, bandwidth: float) -> float:
    """Eq. (7) as printed."""
    n_t, n_u = len(t), len(u)
    within_t = sum(reference_kernel(t[i], t[j], bandwidth) for i in range(n_t) for j in range(n_t))
    within_u = sum(reference_kernel(u[i], u[j], bandwidth) for i in range(n_u) for j in range(n_u))
    between = sum(reference_kernel(t[i], u[j], bandwidth) for i in range(n_t) for j in range(n_u))
    return within_t / n_t**2 + within_u / n_u**2 - 2 / (n_t * n_u) * between


def reference_median(joint: np.ndarray) -> float:
    """Median over pairs i < j of the squared distance; of two middle values the lower."""
    pairs = [((joint[i] - joint[j]) ** 2).sum() for j in range(len(joint)) for i in range(j)]
    return float(np.sort(pairs)[(len(pairs) - 1) // 2])


@pytest.mark.parametrize(("n_t", "n_u"), [(1, 1), (1, 4), (5, 1), (3, 3), (5, 2)])
def test_transfer_fc1_is_eq_7(n_t: int, n_u: int) -> None:
    t, u = rows(n_t, seed=0), rows(n_u, seed=1, shift=0.5)
    fixed = reference_mmd2(t.numpy(), u.numpy(), 1.7)
    median = reference_mmd2(t.numpy(), u.numpy(), reference_median(np.concatenate([t, u])))
    assert float(transfer_fc1(t, u, bandwidth=1.7)) == pytest.approx(fixed, rel=1e-10, abs=1e-13)
    assert float(transfer_fc1(t, u)) == pytest.approx(median, rel=1e-10, abs=1e-13)


def test_transfer_fc2_is_eq_8() -> None:
    """MMD^2(FC1(T), FC1(U)), each set through its own network's FC1 and ReLU (D12)."""
    torch.manual_seed(0)
    trimmed, untrimmed = (Classifier(4, size=6, num_classes=2, dropout=0.8).double() for _ in range(2))
    t, u = rows(3, seed=0), rows(4, seed=1)
    actual = transfer_fc2(trimmed.hidden(t), untrimmed.hidden(u), bandwidth=0.9)

    hidden = []
    for x, network in ((t, trimmed), (u, untrimmed)):
        weight, bias = network.fc1.weight.detach().numpy(), network.fc1.bias.detach().numpy()
        hidden.append(np.array([np.maximum(weight @ row + bias, 0) for row in x.numpy()]))
    assert float(actual.detach()) == pytest.approx(reference_mmd2(*hidden, 0.9), rel=1e-10)


def test_two_single_rows_have_a_closed_form() -> None:
    """Distance 2 and bandwidth 2: 2 k(0) - 2 k(2) with k(0) = 5."""
    t, u = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 2.0]])
    expected = 10 - 2 * sum(np.exp(-1 / s) for s in (0.25, 0.5, 1, 2, 4))
    assert float(mmd2(t, u, bandwidth=2.0)) == pytest.approx(expected, rel=1e-6)
    far = mmd2(t, t + 1e4, bandwidth=1.0)  # between the sets nothing is left
    assert float(far) == pytest.approx(10.0)


def test_equal_sets_are_at_distance_zero_in_any_order() -> None:
    t = rows(6, seed=2)
    assert float(mmd2(t, t)) == pytest.approx(0.0, abs=1e-12)
    assert float(mmd2(t, t.flip(0))) == pytest.approx(0.0, abs=1e-12)
    same = torch.ones(3, 4, dtype=torch.float64)
    assert float(mmd2(same, same[:1])) == 0.0


def test_never_negative_symmetric_and_blind_to_translation() -> None:
    rng = np.random.default_rng(3)
    for seed in range(100):
        n_t, n_u = rng.integers(1, 7, size=2)
        t, u = rows(n_t, seed=seed), rows(n_u, seed=seed + 1000)
        value = float(mmd2(t, u))
        assert value > -1e-12
        assert float(mmd2(u, t)) == pytest.approx(value, abs=1e-12)
        assert float(mmd2(t + 5, u + 5)) == pytest.approx(value, abs=1e-10)


def test_eq_7_compares_distributions_not_counts() -> None:
    """The double sums hold i = j too: a set taken twice stays where it is."""
    t, u = rows(4, seed=4), rows(3, seed=5)
    once, twice = mmd2(t, u, bandwidth=2.0), mmd2(torch.cat([t, t]), u, bandwidth=2.0)
    assert float(twice) == pytest.approx(float(once), rel=1e-12)


def test_grows_as_the_sets_move_apart() -> None:
    t = rows(6, seed=6)
    values = [float(mmd2(t, t + shift, bandwidth=2.0)) for shift in (0.0, 0.3, 1.0, 3.0)]
    assert values == sorted(values)
    assert values[1] > 1e-3


@pytest.mark.parametrize(("n_t", "n_u"), [(1, 1), (3, 2)])
def test_gradient_with_a_fixed_bandwidth(n_t: int, n_u: int) -> None:
    t, u = rows(n_t, seed=7).requires_grad_(), rows(n_u, seed=8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: mmd2(x, y, bandwidth=1.3), (t, u))


def test_gradient_at_coinciding_rows_is_finite() -> None:
    u = torch.ones(3, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(mmd2(torch.ones(2, 4), u), u)
    assert (gradient == 0).all()


def test_no_gradient_flows_through_the_median() -> None:
    """D10: detached, so the gradient is that of a constant of the same value."""
    t, u = rows(3, seed=9), rows(4, seed=10).requires_grad_()
    width = reference_median(np.concatenate([t, u.detach()]))
    (by_median,) = torch.autograd.grad(mmd2(t, u), u)
    (by_constant,) = torch.autograd.grad(mmd2(t, u, bandwidth=width), u)
    torch.testing.assert_close(by_median, by_constant, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_median_bandwidth_against_numpy(n: int) -> None:
    """n = 4 has 6 pairs: the lower of two middle values is taken."""
    joint = rows(n, seed=n)
    assert float(median_bandwidth(joint)) == pytest.approx(reference_median(joint.numpy()), rel=1e-12)


def test_median_of_rows_all_alike_falls_back_to_one() -> None:
    assert float(median_bandwidth(torch.full((4, 3), 2.5))) == 1.0


@pytest.mark.parametrize(
    ("trimmed", "untrimmed"), [((2, 3), (2, 4)), ((3,), (2, 3)), ((2, 3), (1, 2, 3)), ((0, 3), (2, 3))]
)
def test_sets_that_do_not_fit_are_refused(trimmed: tuple[int, ...], untrimmed: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        mmd2(torch.zeros(trimmed), torch.zeros(untrimmed))


def test_one_kernel_is_the_gaussian_of_the_paper() -> None:
    t, u = rows(3, seed=11), rows(2, seed=12, shift=0.5)

    def mean(x: Tensor, y: Tensor) -> float:
        return float(np.mean([[np.exp(-((p - q) ** 2).sum() / 3.4) for q in y.numpy()] for p in x.numpy()]))

    expected = mean(t, t) + mean(u, u) - 2 * mean(t, u)
    assert float(mmd2(t, u, bandwidth=1.7, kernels=1)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kernels", [1, 5])
def test_per_class_it_is_the_mean_over_pairs_of_the_mmd_of_their_class(kernels: int) -> None:
    t, u, classes = rows(6, seed=13), rows(6, seed=14), torch.tensor([2, 0, 2, 1, 2, 0])
    expected = sum(
        int((classes == c).sum()) / 6 * mmd2(t[classes == c], u[classes == c], bandwidth=1.3, kernels=kernels)
        for c in range(3)
    )
    actual = mmd2(t, u, bandwidth=1.3, kernels=kernels, classes=classes)
    assert float(actual) == pytest.approx(float(expected), rel=1e-12)
    together = mmd2(t, u, kernels=kernels, classes=torch.zeros(6))
    assert float(together) == pytest.approx(float(mmd2(t, u, kernels=kernels)), rel=1e-12)


def test_per_class_swapped_classes_are_apart_where_the_sets_as_a_whole_are_not() -> None:
    """The videos of one class lie where the clips of the other do."""
    t = torch.cat([torch.zeros(4, 3), torch.ones(4, 3)])
    classes = torch.tensor([0] * 4 + [1] * 4)
    assert float(mmd2(t, t.flip(0))) == pytest.approx(0.0, abs=1e-6)
    assert float(mmd2(t, t.flip(0), classes=classes)) > 1.0


def test_classes_that_do_not_fit_the_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="classes: got 2 for 3 and 2 rows, need one a pair"):
        mmd2(torch.zeros(3, 2), torch.zeros(2, 2), classes=torch.zeros(2))
