"""Trials of a reconstruction: a search for the best values, or a table of variants.

What the commands ``fastpty tune`` and ``fastpty ablate`` read and write is in docs/tuning.md.
"""

from fastpty.tune.ablation import run_ablation
from fastpty.tune.config import AblateConfig, TuneConfig
from fastpty.tune.folder import StudyReport
from fastpty.tune.search import run_search

__all__ = ["AblateConfig", "StudyReport", "TuneConfig", "run_ablation", "run_search"]
