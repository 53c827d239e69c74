"""The ops for arrays of other libraries are the ops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastpty import array_api, ops

OPTICS: dict[str, Any] = {"wavelength": 0.02, "pixel_size": 0.2}


class Foreign:
    """An array of a library that has nothing in common with torch's or NumPy's but DLPack."""

    def __init__(self, values: Any) -> None:
        self.values = torch.as_tensor(values)

    @classmethod
    def from_dlpack(cls, array: Any) -> Foreign:
        return cls(torch.utils.dlpack.from_dlpack(array))

    def __array_namespace__(self) -> type[Foreign]:
        return Foreign

    def __dlpack__(self, **settings: Any) -> Any:
        return self.values.__dlpack__(**settings)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


def random(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def waves(*shape: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.complex64]]:
    return random(*shape, seed=seed) + 1j * random(*shape, seed=seed + 1)


CORNER = np.array([[2, 3], [5, 1]])
CALLS: dict[str, tuple[Any, ...]] = {
    "probe_shift": (waves(2, 32, 32), random(2, 2)),
    "slice_transmit": (waves(2, 1, 1, 32, 32), waves(1, 40, 40), CORNER),
    "fresnel_propagate": (waves(2, 1, 1, 32, 32), 10.0),
    "mixed_intensity": (waves(2, 1, 1, 32, 32),),
    "multislice_intensity": (
        waves(2, 32, 32),
        (np.abs(random(1, 2, 40, 40)), random(1, 2, 40, 40)),
        CORNER,
        random(2, 2),
        10.0,
    ),
}


def settings(name: str) -> dict[str, Any]:
    return OPTICS if name in ("fresnel_propagate", "multislice_intensity") else {}


def each(function: Any, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(each(function, item) for item in value)
    return function(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("library", [np.ndarray, Foreign, torch.Tensor])
def test_values_are_those_of_the_ops(name: str, library: Any) -> None:
    make = {np.ndarray: lambda a: a, Foreign: Foreign, torch.Tensor: torch.from_numpy}[library]
    found = getattr(array_api, name)(*each(make, CALLS[name]), **settings(name))
    assert type(found) is library
    expected = getattr(ops, name)(*each(torch.from_numpy, CALLS[name]), **settings(name))
    np.testing.assert_array_equal(array_api.to_numpy(found), expected.numpy())


def test_memory_is_shared() -> None:
    array = random(3, 4)
    array_api.to_torch(array)[0, 0] = 7
    assert array[0, 0] == 7
    foreign = Foreign(torch.zeros(3))
    array_api.to_torch(foreign)[1] = 5
    assert foreign.values[1] == 5


@pytest.mark.parametrize("kind", ["read-only", "reversed", "big-endian"])
def test_arrays_that_torch_does_not_know_are_copied(kind: str) -> None:
    wave = waves(2, 1, 1, 32, 32)
    given = {
        "read-only": wave.copy(),
        "reversed": wave[..., ::-1].copy()[..., ::-1],
        "big-endian": wave.astype(">c8"),
    }[kind]
    if kind == "read-only":
        given.flags.writeable = False
    np.testing.assert_array_equal(array_api.mixed_intensity(given), array_api.mixed_intensity(wave))


def test_the_pullback_gives_torchs_gradients() -> None:
    arguments = CALLS["multislice_intensity"]
    upstream = random(2, 32, 32, seed=5)
    value, pullback = array_api.vjp(array_api.multislice_intensity, *arguments, **OPTICS)
    grad_probe, (grad_amplitude, grad_phase), *rest = pullback(upstream)

    tensors = each(lambda a: torch.from_numpy(a.copy()), arguments)
    probe, (amplitude, phase), _, shift, _ = tensors
    for leaf in (probe, amplitude, phase, shift):
        leaf.requires_grad_()
    expected = ops.multislice_intensity(*tensors, **OPTICS)
    expected.backward(torch.from_numpy(upstream))
    np.testing.assert_array_equal(value, expected.detach().numpy())
    np.testing.assert_array_equal(grad_probe, probe.grad.numpy())
    np.testing.assert_array_equal(grad_amplitude, amplitude.grad.numpy())
    np.testing.assert_array_equal(grad_phase, phase.grad.numpy())
    assert rest[0] is None, "corners are integers"
    np.testing.assert_array_equal(rest[1], shift.grad.numpy())
    assert rest[2] is None, "the thickness was a number"


def test_a_loss_of_ones_own() -> None:
    """A step down the pullback's gradient lowers it: sign and convention are right."""
    wave = waves(2, 1, 1, 32, 32)
    measured = np.abs(random(2, 32, 32, seed=9))
    value, pullback = array_api.vjp(array_api.mixed_intensity, wave)
    (gradient,) = pullback(2 * (value - measured))
    lower = array_api.mixed_intensity(wave - 1e-3 * gradient)
    assert ((lower - measured) ** 2).sum() < ((value - measured) ** 2).sum()


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match="first argument must be an array, found list"):
        array_api.mixed_intensity([1, 2])
    with pytest.raises(TypeError, match="speaks DLPack, found list"):
        array_api.to_torch([1, 2])
    with pytest.raises(TypeError, match="must be complex64"):
        array_api.mixed_intensity(random(2, 1, 1, 8, 8))
