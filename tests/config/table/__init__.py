"""For every field of the configs a small change, and what it must change.

A new field needs an entry in the module of its section; ``tests/config/test_every_field.py`` says
which is missing, and holds each to what it says.
"""

from tests.config.table.constraints import CONSTRAINTS
from tests.config.table.data import DATA
from tests.config.table.entries import Change, Elsewhere, Entry
from tests.config.table.fit import FIT
from tests.config.table.model import MODEL
from tests.config.table.output import OUTPUT
from tests.config.table.preprocess import PREPROCESS
from tests.config.table.simulate import SIMULATE

__all__ = ["RECON", "SIMULATE", "Change", "Elsewhere", "Entry"]

RECON: dict[str, Entry] = {**DATA, **PREPROCESS, **MODEL, **FIT, **CONSTRAINTS, **OUTPUT}
