"""Optuna's side of a study: which values come next, and which trial is given up.

Optuna (T. Akiba et al., Proc. 25th ACM SIGKDD (2019) 2623) is told every trial that has ended, also
those of earlier calls, and keeps nothing on disk itself. Sampler and its random numbers are made
anew for each trial from the seed and the trial's number: so a study that was stopped and goes on
draws what one that was not stopped would have drawn.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastpty.errors import ConfigError
from fastpty.tune.config import MAXIMISED, PrunerConfig, RangeConfig, TuneConfig
from fastpty.tune.ledger import Record

if TYPE_CHECKING:
    import optuna

__all__ = ["Advisor", "require_optuna"]


def require_optuna(sampler: str) -> None:
    """Before a study begins.

    Raises
    ------
    ConfigError : Optuna, or what the sampler needs beside it, is missing.
    """
    for name in ("optuna", *(("scipy",) if sampler == "gp" else ())):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                name,
                f"is not installed, and fastpty tune with sampler {sampler} needs it.",
                "pip install 'fastpty[tuning]'",
            )


class Advisor:
    """Optuna's study in memory.

    Parameters
    ----------
    whole : the searched fields whose values are integers.
    steps : iterations of a trial.
    """

    def __init__(self, study: TuneConfig, whole: Sequence[str], steps: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = study
        self._whole = frozenset(whole)
        self._worst = -math.inf if study.objective in MAXIMISED else math.inf
        self._live: dict[int, optuna.trial.Trial] = {}
        self._optuna = optuna.create_study(
            study_name="fastpty",
            direction="maximize" if study.objective in MAXIMISED else "minimize",
            pruner=_pruner(study.pruner, steps),
        )

    def ask(self, number: int, fixed: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Values for a trial, which is under way from now on.

        Parameters
        ----------
        fixed : the values of some fields, or of all.
        """
        import optuna

        with warnings.catch_warnings():
            # Of features that may change, and of the infinite values of trials that failed.
            warnings.simplefilter("ignore")
            known = fixed is not None and fixed.keys() == self._study.search.keys()
            # Where nothing is left to be chosen, a sampler that works before it is asked is spared.
            sampler = optuna.samplers.RandomSampler() if known else self._sampler(number)
            self._optuna.sampler = sampler
            if fixed:
                self._optuna.enqueue_trial(dict(self._encoded(fixed)))
            trial = self._live[number] = self._optuna.ask()
            return {
                name: self._suggested(trial, name, given)
                for name, given in self._study.search.items()
            }

    def prune(self, number: int, step: int, loss: float) -> bool:
        """Tell the loss of an iteration; whether the trial is to be given up."""
        trial = self._live[number]
        # The pruners take the direction of the study.
        trial.report(-loss if self._worst < 0 else loss, step)
        return trial.should_prune()

    def tell(self, record: Record) -> None:
        """The end of a trial."""
        import optuna

        trial = self._live.pop(record.number)
        if record.state == "pruned":
            self._optuna.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._optuna.tell(trial, self._value(record))

    def recall(self, record: Record) -> None:
        """A trial of an earlier call, as if it had just ended."""
        self.ask(record.number, record.values)
        for step, loss in enumerate(record.losses, 1):
            self.prune(record.number, step, loss)
        self.tell(record)

    def importances(self) -> dict[str, float]:
        """Share of each field in what the objective varies by; empty where that is not known.

        PED-ANOVA: S. Watanabe, A. Bansal & F. Hutter, Proc. IJCAI (2023) 4389.
        """
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        found = [trial for trial in self._optuna.trials if trial.value is not None]
        if len(self._study.search) < 2 or sum(math.isfinite(t.value or 0) for t in found) < 4:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_param_importances(
                self._optuna, evaluator=PedAnovaImportanceEvaluator(), normalize=True
            )

    def _value(self, record: Record) -> float:
        """A trial that failed is as bad as can be: the sampler keeps away from there."""
        value = record.numbers.get(self._study.objective)
        return self._worst if record.state == "failed" or value is None else value

    def _encoded(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """As Optuna has them: choices by their place, as they may be of any kind."""
        found = {}
        for name, value in values.items():
            choices = self._study.search[name].choices
            found[name] = value if choices is None else choices.index(value)
        return found

    def _suggested(self, trial: optuna.trial.Trial, name: str, given: RangeConfig) -> Any:
        if given.choices is not None:
            places = list(range(len(given.choices)))
            return given.choices[trial.suggest_categorical(name, places)]
        assert given.low is not None and given.high is not None
        if name in self._whole:
            step = 1 if given.step is None else round(given.step)
            low, high = round(given.low), round(given.high)
            return trial.suggest_int(name, low, high, step=step, log=given.log)
        return trial.suggest_float(name, given.low, given.high, step=given.step, log=given.log)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        import optuna

        state = np.random.SeedSequence([self._study.seed, number]).generate_state(1)
        seed = int(state[0] >> 1)
        startup = self._study.sampler.startup
        if self._study.sampler.name == "gp":
            return optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=startup, deterministic_objective=True
            )
        if self._study.sampler.name == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=startup,
            multivariate=True,  # defocus and thickness, say, are not independent
            constant_liar=self._study.workers > 1,
        )


def _pruner(section: PrunerConfig, steps: int) -> optuna.pruners.BasePruner:
    import optuna

    if section.name == "none":
        return optuna.pruners.NopPruner()
    if section.name == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=max(1, section.warmup), max_resource=max(steps, section.warmup + 1)
        )
    keep = 50.0 if section.name == "median" else section.keep
    return optuna.pruners.PercentilePruner(
        keep, n_startup_trials=section.startup, n_warmup_steps=section.warmup
    )
