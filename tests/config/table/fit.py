"""What is minimised, how, and for how long."""

from __future__ import annotations

from typing import Any

from fastpty.config.optimise import UNKNOWNS
from tests.config.table.entries import Change, Elsewhere, Entry, below, nested
from tests.recon_cases import merged

__all__ = ["FIT"]

# What an unknown needs to exist and to move; the first four do so anyway.
NEEDS: dict[str, dict[str, Any]] = {
    "tilt": {"optimise": {"tilt": {"lr": 0.1}}},
    "thickness": {"optimise": {"thickness": {"lr": 0.1}}},
    "occupancy": {"object": {"modes": 2}, "optimise": {"occupancy": {"lr": 1e-2}}},
    "aberrations": {
        "probe": {"aberrations": ["defocus"]},
        "optimise": {"aberrations": {"lr": 1e-2}},
    },
}
LONGER = {"optimise": {"iterations": 3}}
RPIE = {"optimise": {"engine": "rpie", "batch_size": 10}}
SEARCH = {"optimise": {"engine": "search", "batch_size": 10}}
MPIE = {"optimise": {"engine": "mpie", "batch_size": 10}}
LSQML = {"optimise": {"engine": "lsqml", "batch_size": 10}}
LASTING = {"optimise": {**LSQML["optimise"], "lsqml": {"object_momentum": 0.5}}}


def misfit(name: str, **values: Any) -> dict[str, Entry]:
    """A term of the loss: whether it is there, and its fields."""
    on = merged({"object": {"modes": 2}}, {"loss": {name: {}}})
    entries: dict[str, Entry] = {name: Change(True, "loss", {"object": {"modes": 2}})}
    return entries | {f"{name}.{field}": Change(v, "loss", on) for field, v in values.items()}


def schedule(place: str, base: dict[str, Any]) -> dict[str, Entry]:
    """The fields of a schedule, seen in the rates of three iterations."""

    def change(value: Any, /, **others: Any) -> Change:
        return Change(value, "rates", merged(merged(base, LONGER), nested(place, others)))

    return below(
        place,
        {
            "warmup": change(1),
            "hold": change(1, decay="linear", until=4),
            "decay": change("cosine", decay="linear", until=4),
            "until": change(5, decay="linear", until=4),
            "floor": change(0.1, decay="linear", until=3),
            "step": change(2, step=1),
            "gamma": change(0.4, step=1),
            "plateau": change(2, plateau=1, threshold=0.99),
            "factor": change(0.4, plateau=1, threshold=0.99),
            "threshold": change(0.0, plateau=1, threshold=0.99),
        },
    )


def unknown(name: str) -> dict[str, Entry]:
    """How and when an unknown moves."""
    place, base = f"optimise.{name}", NEEDS.get(name, {})
    values = {
        "lr": 3e-3,
        "start": 2,
        "stop": 1,
        "options": {"eps": 1e-2},
        "schedule": {"step": 1},
    }
    entries = {field: Change(value, "unknowns", base) for field, value in values.items()}
    return below(place, entries) | schedule(f"{place}.schedule", base)


def early(value: Any, **others: Any) -> Change:
    """Of a run that may end before its third iteration."""
    return Change(value, "stages", merged(LONGER, {"convergence": others}))


def stage(value: Any, sees: str = "unknowns", **others: Any) -> Change:
    return Change(value, sees, {"plan": [{"iterations": 1, **others}]})


FIT: dict[str, Entry] = {
    **below(
        "loss",
        {
            "gaussian": Change(False, "loss", {"loss": {"poisson": {}}}),
            **below(
                "gaussian",
                {
                    k: Change(v, "loss")
                    for k, v in {"weight": 2.0, "power": 0.6, "eps": 1e-2, "form": "ratio"}.items()
                },
            ),
            **misfit("poisson", weight=2.0, power=0.9, eps=1e-2),
            **misfit("pacbed", weight=2.0, power=0.9, eps=1e-2),
            # At the start the object is empty but for what tells its modes apart.
            **misfit("sparse", weight=2.0, power=2.0),
            **misfit("similarity", weight=2.0, parts="amplitude", blur=0.5, blocks=[1, 2, 2]),
        },
    ),
    "optimise.iterations": Change(3, "stages"),
    "optimise.engine": Change("epie", "unknowns"),
    "optimise.pie.object_step": Change(0.5, "unknowns", RPIE),
    "optimise.pie.probe_step": Change(0.5, "unknowns", RPIE),
    "optimise.pie.object_share": Change(0.5, "unknowns", RPIE),
    "optimise.pie.probe_share": Change(0.5, "unknowns", RPIE),
    "optimise.pie.object_momentum": Change(0.9, "unknowns", MPIE),
    "optimise.pie.probe_momentum": Change(0.9, "unknowns", MPIE),
    "optimise.pie.momentum_every": Change(5, "unknowns", MPIE),
    "optimise.pie.position_step": Change(0.5, "unknowns", RPIE),
    "optimise.search.radius": Change(2.0, "unknowns", SEARCH),
    "optimise.search.folds": Change(2, "unknowns", SEARCH),
    "optimise.search.passes": Change(2, "unknowns", SEARCH),
    "optimise.lsqml.object_step": Change(0.5, "unknowns", LSQML),
    "optimise.lsqml.probe_step": Change(0.5, "unknowns", LSQML),
    "optimise.lsqml.object_damping": Change(0.5, "unknowns", LSQML),
    "optimise.lsqml.probe_damping": Change(0.5, "unknowns", LSQML),
    "optimise.lsqml.step_damping": Change(0.5, "unknowns", LSQML),
    "optimise.lsqml.object_momentum": Change(0.9, "unknowns", LSQML),
    "optimise.lsqml.probe_momentum": Change(0.9, "unknowns", LSQML),
    "optimise.lsqml.momentum_every": Change(5, "unknowns", LASTING),
    "optimise.lsqml.position_step": Change(0.5, "unknowns", LSQML),
    "optimise.batch_size": Change(10, "unknowns"),
    "optimise.accumulate": Change(2, "unknowns", {"optimise": {"batch_size": 10}}),
    "optimise.grouping": Change("compact", "unknowns", {"optimise": {"batch_size": 10}}),
    "optimise.tiles": Elsewhere("tests/engines/test_tiled_adam.py::test_less_than_all_is_stepped"),
    "optimise.optimiser.name": Change("SGD", "unknowns"),
    **schedule("optimise.schedule", {}),
    **{field: entry for name in UNKNOWNS for field, entry in unknown(name).items()},
    **below(
        "convergence",
        {
            "patience": early(1, threshold=0.99),
            "threshold": early(1e-6, patience=1, threshold=0.99),
            # Without the phase, which begins at zero, unknowns change little at once.
            "of": Change(
                "unknowns",
                "stages",
                {
                    "optimise": {"iterations": 3, "phase": {"lr": 0}},
                    "convergence": {"patience": 1, "threshold": 0.99},
                },
            ),
        },
    ),
    "plan": Change([{"iterations": 1}], "stages"),
    **below(
        "plan",
        {
            "name": stage("first", "stages"),
            "iterations": stage(2, "stages"),
            "scan.center": stage([3, 4], scan={"center": [2, 2]}),
            "scan.sub": stage([3, 4], scan={"sub": [2, 2]}),
            "scan.rows": stage([1, 4], scan={"rows": [0, 3]}),
            "scan.columns": stage([1, 4], scan={"columns": [0, 3]}),
            "optimise": stage({"phase": {"lr": 1e-2}}),
            "loss": stage({"gaussian": {"power": 0.6}}),
            "constraints": stage({"probe_power": False}),
        },
    ),
    "seed": Change(1, "unknowns", {"optimise": {"batch_size": 10}}),
}
