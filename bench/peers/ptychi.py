"""One iteration of ePIE and of LSQ-ML in pty-chi and in fastpty: ``python -m bench.peers.ptychi``.

Run it, in the folder that holds ``bench/``, with the python of an environment in which both are
installed. The same patterns, positions, probe modes, slices, batches; one thread; in turn.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from typing import Any

import numpy as np

from bench.peers.iterations import THICKNESS, Case, Clock, compare, missing

PEER, MODULE = "pty-chi", "bench.peers.ptychi"


def main() -> None:
    """Measure and print."""
    if importlib.util.find_spec("ptychi") is None:
        missing(PEER, MODULE)
    compare(PEER, MODULE, version("ptychi"), time_ptychi)


def time_ptychi(case: Case, clock: Clock) -> None:
    """Epoch by epoch, fastpty's iteration after each."""
    from ptychi.api.task import PtychographyTask

    task = PtychographyTask(options(case, clock.rounds + 1))
    for _ in range(clock.rounds + 1):
        begun = clock.now()
        task.run(1)
        clock.measure("peer", begun)
        clock.our_turn()


def options(case: Case, epochs: int) -> Any:
    """pty-chi's settings, from fastpty's model; its steps are its defaults."""
    from ptychi import api

    model = case.run().model
    assert model.pixel_size is not None and model.wavelength is not None
    found = api.LSQMLOptions() if case.engine == "lsqml" else api.EPIEOptions()
    data, obj, probe = found.data_options, found.object_options, found.probe_options
    data.data = case.patterns()
    data.wavelength_m = model.wavelength * 1e-10
    data.free_space_propagation_distance_m = np.inf
    data.fft_shift = True
    extent = model.phase.shape[-2:]
    obj.initial_guess = np.ones((case.slices, *extent), np.complex64)
    obj.pixel_size_m = model.pixel_size[0] * 1e-10
    obj.optimizable = True
    if case.slices > 1:
        obj.slice_spacings_m = np.full(case.slices - 1, THICKNESS * 1e-10)
    probe.initial_guess = model.probe.detach().numpy()[None]
    probe.optimizable = True
    # Of the windows' centres, from the middle of the object.
    window = np.array(model.probe.shape[-2:])
    centres = model.positions + window // 2 - np.array(extent) / 2
    position = found.probe_position_options
    position.position_y_px, position.position_x_px = centres[:, 0], centres[:, 1]
    position.optimizable = False
    found.opr_mode_weight_options.optimizable = False
    run = found.reconstructor_options
    run.batch_size = case.batch
    run.num_epochs = epochs
    run.default_device = api.Devices.CPU
    run.random_seed = 0
    return found


if __name__ == "__main__":
    main()
