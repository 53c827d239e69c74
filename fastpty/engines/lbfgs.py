"""L-BFGS: steps from all patterns of a stage at once, for the end of a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from fastpty.config.loss import LossConfig
from fastpty.config.optimise import OptimiseConfig
from fastpty.engines.engine import Engine, IterationReport
from fastpty.engines.passes import Passes

__all__ = ["LBFGSEngine", "pairs_kept"]

# torch's default of 100 pairs would take the memory of 200 objects, and more than ten seldom help
# (Liu & Nocedal, Math. Program. 45 (1989) 503).
PAIRS = 10
# Passes in which a line search may look for its point.
LONGEST_SEARCH = 12


def pairs_kept(optimise: OptimiseConfig) -> int:
    """Of changes of the unknowns and of the gradient, from which curvature is known."""
    return int(optimise.optimiser.options.get("history_size", PAIRS))


@dataclass(frozen=True)
class _Evaluated:
    """The loss at a point; its gradients lie with the passes until the next one."""

    point: Mapping[str, torch.Tensor]
    loss: float
    terms: dict[str, float]


class LBFGSEngine(Engine):
    """torch's L-BFGS (Liu & Nocedal 1989) with a line search for the strong Wolfe conditions.

    The loss is that of all patterns of the stage, in batches that stay the same, so that it is one
    function of the unknowns. It never rises from iteration to iteration, unless constraints move an
    unknown in between: then what is known of the curvature is wrong, and is forgotten.

    With x = x_0 + l u for each unknown, l its learning rate, torch sees the real numbers u of all
    that are free, of complex ones both parts. The first step along a gradient changes no u by more
    than 1, so that l is also the length of that step.
    """

    # At half a pixel one of many positions would cross in almost every iteration, and what is
    # known of the curvature would be forgotten as often.
    reach = 1.0
    shares = True

    _optimiser: torch.optim.LBFGS | None = None
    _known: _Evaluated | None = None
    _moving: tuple[str, ...] = ()
    _count = 0
    _exhausted = False

    def _make_passes(self, loss: LossConfig) -> Passes:
        return Passes(self.model, self.patterns, loss, self._config.batch_size, self._parts)

    def run_iteration(self, iteration: int) -> IterationReport:
        """One direction and the passes that its line search takes; loss and terms are those after
        it."""
        free = self._free(iteration)
        rates = {name: self._scale(name) * (name in free) for name in self.model.unknowns}
        before = self._count
        if free != self._moving or not self._at_known():
            self._known = None
            self._begin(free)
        if self._optimiser is not None and not self._exhausted:
            self._step(self._optimiser)
        found = self._evaluate()
        return IterationReport(found.loss, found.terms, rates, self._count - before)

    def _begin(self, free: tuple[str, ...]) -> None:
        """Know nothing of the curvature."""
        self._moving = free
        self._exhausted = False
        self._steps = [torch.zeros_like(self._real(name)) for name in free]
        self._optimiser = None
        if free:
            self._optimiser = torch.optim.LBFGS(
                self._steps,
                max_iter=1,
                max_eval=1 + LONGEST_SEARCH,
                # Bounds on what depends on the units of the unknowns.
                tolerance_grad=0.0,
                tolerance_change=0.0,
                line_search_fn="strong_wolfe",
                history_size=pairs_kept(self._config),
            )

    def _step(self, optimiser: torch.optim.LBFGS) -> None:
        origin = [self._real(name).clone() for name in self._moving]
        for step in self._steps:
            step.zero_()

        def move() -> None:
            for name, begin, step in zip(self._moving, origin, self._steps, strict=True):
                torch.add(begin, step, alpha=self._scale(name), out=self._real(name))

        def closure() -> float:
            move()
            found = self._evaluate()
            for name, step in zip(self._moving, self._steps, strict=True):
                gradient = self._passes.gradients[name]
                if gradient.is_complex():
                    gradient = torch.view_as_real(gradient)
                step.grad = gradient * self._scale(name)
            return found.loss

        closure()
        steepest = not optimiser.state.get(self._steps[0])
        optimiser.param_groups[0]["lr"] = self._first_length() if steepest else 1.0
        optimiser.step(closure)
        move()
        if all(map(torch.equal, origin, map(self._real, self._moving))):
            # Nothing lower in this direction: the gradient's is left to try, if it was not that.
            self._begin(self._moving)
            self._exhausted = steepest

    def _first_length(self) -> float:
        """With which torch's first step, of length lr min(1, 1 / |g|_1) |g|, changes no value by
        more than 1."""
        gradients = [step.grad for step in self._steps if step.grad is not None]
        largest = max(float(gradient.abs().max()) for gradient in gradients)
        total = sum(float(gradient.abs().sum()) for gradient in gradients)
        return max(1.0, total) / largest if largest > 0 else 1.0

    def _evaluate(self) -> _Evaluated:
        """The loss and, with the passes, its gradients where the unknowns are now."""
        if self._known is None or not self._at_known():
            self._known = None  # the pass that follows overwrites its gradients
            order = self._order(1)  # always the same
            loss, terms = self._passes.run(order, self._moving, len(order))
            self._count += 1
            self._known = _Evaluated(self._point(), loss, terms)
        return self._known

    def _at_known(self) -> bool:
        """Whether every unknown is where the loss was last evaluated."""
        return self._known is not None and all(
            torch.equal(tensor, self._known.point[name])
            for name, tensor in self.model.unknowns.items()
        )

    def _point(self) -> dict[str, torch.Tensor]:
        return {name: t.detach().clone() for name, t in self.model.unknowns.items()}

    def _scale(self, name: str) -> float:
        return self._config.parameter(name).lr

    def _real(self, name: str) -> torch.Tensor:
        tensor = self.model.unknowns[name].detach()
        return torch.view_as_real(tensor) if tensor.is_complex() else tensor

    def inherit(self, earlier: Engine) -> None:
        """Nothing: the curvature is that of another loss, or of other positions."""

    def state(self) -> dict[str, Any]:
        """What is known of the curvature and of the point where the unknowns are; nothing if they
        were moved since."""
        name = self._config.optimiser.name
        if self._optimiser is None or self._known is None or not self._at_known():
            return {"optimiser": name}
        return {
            "optimiser": name,
            "state": self._optimiser.state_dict()["state"],
            "moving": list(self._moving),
            "exhausted": self._exhausted,
            "loss": self._known.loss,
            "terms": dict(self._known.terms),
            "gradients": {n: self._passes.gradients[n] for n in self._moving},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from the point where the unknowns are, which is that of the state."""
        if state["optimiser"] != self._config.optimiser.name or "state" not in state:
            return
        self._begin(tuple(state["moving"]))
        if self._optimiser is None:
            return
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state["state"], "param_groups": groups})
        self._exhausted = state["exhausted"]
        self._passes.gradients = {n: tensor.clone() for n, tensor in state["gradients"].items()}
        self._known = _Evaluated(self._point(), state["loss"], dict(state["terms"]))
