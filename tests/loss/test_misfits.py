"""What every misfit to the patterns keeps: its formula, its gradient, the mask, dark pixels."""

from __future__ import annotations

import pytest
import torch

from fastpty.loss.misfit import FLOOR
from tests.loss.cases import CASES, MASK, POWERS, Case, Mask, patterns
from tests.tolerances import tolerance

DTYPES = [torch.float32, torch.float64]
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_power = pytest.mark.parametrize("power", POWERS)
every_mask = pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@every_case
@every_mask
@every_power
@every_dtype
def test_formula(case: Case, dtype: torch.dtype, power: float, mask: Mask) -> None:
    simulated, measured = patterns(dtype=dtype)
    found = case.loss(simulated, measured, power, mask)
    assert found.dtype == dtype
    expected = case.formula(simulated.double(), measured.double(), power, mask)
    torch.testing.assert_close(found, expected.to(dtype), **tolerance("sum", dtype))


@every_case
@every_mask
@every_power
def test_gradient(case: Case, power: float, mask: Mask) -> None:
    """Finite differences, away from the steep slope at zero."""
    simulated, measured = patterns()
    simulated = (simulated + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda i: case.loss(i, measured, power, mask), simulated)


@every_case
@every_mask
@every_power
def test_gradient_of_the_formula(case: Case, power: float, mask: Mask) -> None:
    """Where pixels are dark, too."""
    simulated, measured = patterns()
    simulated.requires_grad_()
    (found,) = torch.autograd.grad(3 * case.loss(simulated, measured, power, mask), simulated)
    (expected,) = torch.autograd.grad(3 * case.formula(simulated, measured, power, mask), simulated)
    torch.testing.assert_close(found, expected, **tolerance("sum", torch.float64))


def dark_patterns() -> tuple[torch.Tensor, torch.Tensor]:
    """Every faint intensity beside every faint target, and bright pixels that set the scale."""
    simulated = torch.tensor([0, 1e-30, 1e-15, 1e-11, 1e-9, 1e-6, 1e-3, 1])
    measured = torch.tensor([0, 1e-12, 1e-8, 1e-4, 1])
    pair = torch.meshgrid(simulated, measured, indexing="ij")
    return pair[0].expand(2, -1, -1).clone(), pair[1].expand(2, -1, -1).clone()


@every_case
@pytest.mark.parametrize("masked", [False, True])
@every_power
def test_dark_pixels_in_single_precision(case: Case, power: float, masked: bool) -> None:
    """Each pixel's gradient is as good as that of a measured intensity that is rounded: the part
    that falls with it and the part that does not are each right to some roundings."""
    simulated, measured = dark_patterns()
    mask = torch.arange(measured[0].numel()).view(measured[0].shape) % 3 > 0 if masked else None
    narrow = simulated.clone().requires_grad_()
    (found,) = torch.autograd.grad(case.loss(narrow, measured, power, mask), narrow)

    wide = simulated.double().requires_grad_()
    (expected,) = torch.autograd.grad(
        case.formula(wide, measured.double(), power, mask), wide, create_graph=True
    )
    # How each gradient moves when the targets near it do, relative to their size.
    parts = expected.detach().abs()
    for b, y, x in torch.cartesian_prod(*map(torch.arange, parts.shape)).tolist():
        change = measured.double()
        change[b, y, x] *= 1 + 1e-6
        other = simulated.double().requires_grad_()
        (moved,) = torch.autograd.grad(case.formula(other, change, power, mask), other)
        parts[b, y, x] += (moved - expected)[b, y, x].abs().detach() / 1e-6
    limit = tolerance("sum", torch.float32)["rtol"] * parts
    assert ((found - expected.detach()).abs() <= limit).all()


@every_case
@every_power
def test_masked_pixels_have_no_say(case: Case, power: float) -> None:
    simulated, measured = patterns()
    expected = case.loss(simulated, measured, power, MASK)
    simulated[:, ~MASK], measured[:, ~MASK] = 1e6, 0
    simulated.requires_grad_()
    loss = case.loss(simulated, measured, power, MASK)
    (gradient,) = torch.autograd.grad(loss, simulated)
    torch.testing.assert_close(loss.detach(), expected, **tolerance("sum", torch.float64))
    assert not gradient[:, ~MASK].any()
    assert gradient[:, MASK].any()


@every_case
@every_power
@every_dtype
def test_a_perfect_fit(case: Case, dtype: torch.dtype, power: float) -> None:
    """A root's infinite slope there must not reach the gradient."""
    _, measured = patterns(dtype=dtype)
    for floor in (0.0, FLOOR, 1e-3):  # the last makes up for the one that is added
        simulated = (measured - floor).clamp(min=0).requires_grad_()
        loss = case.loss(simulated, simulated.detach() + floor, power)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(simulated.grad).all()


@every_case
@every_power
@every_dtype
def test_no_intensity_at_all(case: Case, dtype: torch.dtype, power: float) -> None:
    """A dark simulation, and a batch that was recorded with the beam off."""
    _, measured = patterns(dtype=dtype)
    dark = torch.zeros_like(measured)
    for simulated, target in ((dark, measured), (measured, dark), (dark, dark)):
        intensity = simulated.clone().requires_grad_()
        loss = case.loss(intensity, target, power)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(intensity.grad).all()


@every_case
def test_a_batch_with_a_single_count(case: Case) -> None:
    """Its mean to a small power is small, but it is what the misfit is relative to."""
    simulated = torch.full((1, 64, 64), 1e-6)
    measured = torch.zeros(1, 64, 64)
    measured[0, 5, 7] = 1e-6
    found = case.loss(simulated, measured, 0.2)
    expected = case.formula(simulated.double(), measured.double(), 0.2)
    torch.testing.assert_close(found, expected.float(), **tolerance("sum", torch.float32))


@every_case
@every_power
def test_the_inputs_stay(case: Case, power: float) -> None:
    """The work is done in place, but not there."""
    inputs = patterns()
    copies = [tensor.clone() for tensor in inputs]
    case.loss(inputs[0].requires_grad_(), inputs[1], power, MASK).backward()
    assert all(torch.equal(a, b) for a, b in zip(inputs, copies, strict=True))


@every_case
def test_one_array_is_kept_for_the_backward(case: Case) -> None:
    """The gradient itself, and nothing where none is wanted."""
    simulated, measured = patterns()
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        case.loss(simulated, measured, 0.5)
        assert not kept
        case.loss(simulated.requires_grad_(), measured, 0.5, MASK)
    assert [tensor.shape[1:] for tensor in kept] == [measured.shape[1:]]


@every_case
def test_a_second_derivative_is_refused(case: Case) -> None:
    """The gradient is a constant to autograd: a second one would be zero, and wrong."""
    simulated, measured = patterns()
    simulated.requires_grad_()
    square = case.loss(simulated, measured, 0.5).square()
    (gradient,) = torch.autograd.grad(square, simulated, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@every_case
@every_power
def test_nothing_waits_for_the_device(case: Case, power: float) -> None:
    """On torch's device without values, whatever needs one on the host raises."""
    simulated, measured = (tensor.to("meta") for tensor in patterns(dtype=torch.float32))
    simulated.requires_grad_()
    case.loss(simulated, measured, power, MASK.to("meta")).backward()
    assert simulated.grad.is_meta


@every_case
@every_power
def test_the_same_bits_again(case: Case, power: float) -> None:
    """For any number of threads, too, among which torch splits sums of more than 32768 values: with
    the powers that most use, as torch's others round by where in memory a thread begins."""
    generator = torch.Generator().manual_seed(0)
    simulated, measured = torch.rand(2, 3, 130, 127, generator=generator)
    mask = torch.rand(130, 127, generator=generator) < 0.9
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3) if power in (0.5, 1.0) else (2, 2):
            torch.set_num_threads(threads)
            intensity = simulated.clone().requires_grad_()
            loss = case.loss(intensity, measured, power, mask)
            (gradient,) = torch.autograd.grad(loss, intensity)
            found.append((loss.detach(), gradient))
    finally:
        torch.set_num_threads(before)
    for loss, gradient in found[1:]:
        assert torch.equal(loss, found[0][0])
        assert torch.equal(gradient, found[0][1])
