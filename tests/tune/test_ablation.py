"""``fastpty ablate``: variants, runs, tables. Their reconstructions are a formula here."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.config import validate_config
from fastpty.errors import ConfigError, OutputError
from fastpty.tune import AblateConfig, ablation_output
from fastpty.tune.ablation import variants_of
from tests.tune.cases import Formula, ablate, write_base

DEFOCUS = "beam.aberrations.defocus"
VARY: dict[str, Any] = {
    DEFOCUS: [60, 80, 150],
    "orientation": {"wrong": {}, "right": {"scan.rotation_deg": 3}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_base(tmp_path)
    return tmp_path


def table(folder: Path, name: str, output: str = "out") -> list[dict[str, str]]:
    with (folder / output / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def variants(**study: Any) -> list[Any]:
    content = {"base": "base.yaml", "vary": VARY, **study}
    return variants_of(validate_config(AblateConfig, content))


def test_one_at_a_time() -> None:
    found = variants()
    assert [list(v.levels.items()) for v in found] == [
        [(DEFOCUS, "60")],
        [(DEFOCUS, "80")],
        [(DEFOCUS, "150")],
        [("orientation", "wrong")],
        [("orientation", "right")],
    ]
    assert found[1].values == {DEFOCUS: 80}
    assert found[3].values == {}


def test_a_product() -> None:
    found = variants(design="product")
    assert len(found) == 6
    assert found[-1].levels == {DEFOCUS: "150", "orientation": "right"}
    assert found[-1].values == {DEFOCUS: 150, "scan.rotation_deg": 3}


def test_the_table(folder: Path, formula: type[Formula]) -> None:
    """Mean and spread over the seeds; what is the base already is run once."""
    summary = ablate(folder, vary=VARY, seeds=[0, 1]).summary
    assert formula.begun == 8  # five variants, of which two are the base
    rows = table(folder, "ablation.csv")
    assert [(row["varied"], row["value"]) for row in rows[2:]] == [
        (DEFOCUS, "150"),
        ("orientation", "wrong"),
        ("orientation", "right"),
    ]
    assert rows[2]["loss"] == rows[3]["loss"]
    loss = ((150 - 80) / 50) ** 2
    assert float(rows[4]["loss"]) == pytest.approx(loss)
    assert float(rows[4]["free_r_factor"]) == pytest.approx(loss / 2 + 0.5)
    assert float(rows[4]["free_r_factor_std"]) == pytest.approx(0.5**0.5)
    assert summary["variants"][4]["mean"]["loss"] == pytest.approx(loss)
    runs = table(folder, "runs.csv")
    assert [row["seed"] for row in runs] == ["0", "1"] * 5
    assert [row["run"] for row in runs[4:8]] == ["4", "5", "4", "5"]
    assert "orientation & right & $1.96$" in (folder / "out" / "ablation.tex").read_text()


def test_a_product_has_a_column_for_each(folder: Path, formula: type[Formula]) -> None:
    ablate(folder, vary=VARY, design="product")
    rows = table(folder, "ablation.csv")
    best = min(rows, key=lambda row: float(row["loss"]))
    assert (best[DEFOCUS], best["orientation"]) == ("80", "right")
    assert "loss_std" not in best


def test_a_variant_that_fails(folder: Path, formula: type[Formula]) -> None:
    formula.fails_above = 100
    ablate(folder, vary=VARY)
    rows = table(folder, "ablation.csv")
    assert [row["failed"] for row in rows] == ["0", "0", "1", "1", "1"]
    assert rows[2]["loss"] == ""
    assert "became infinite" in table(folder, "runs.csv")[2]["reason"]


def test_a_combination_that_is_refused(folder: Path, formula: type[Formula]) -> None:
    both = {"object.slices": [1, 2], "optimise.thickness.lr": [0, 0.1]}
    ablate(folder, vary=both, design="product")
    reasons = [row["reason"] for row in table(folder, "runs.csv")]
    assert ["a single slice" in reason for reason in reasons] == [False, True, False, False]


def test_a_stopped_ablation_goes_on(folder: Path, formula: type[Formula]) -> None:
    ablate(folder, "unbroken", vary=VARY, seeds=[0, 1])
    formula.begun, formula.stop_in = 0, 3
    stopped = ablate(folder, "stopped", vary=VARY, seeds=[0, 1])
    assert not stopped.finished
    assert len(table(folder, "runs.csv", "stopped")) == 3
    formula.begun, formula.stop_in = 0, None
    assert ablate(folder, "stopped", vary=VARY, seeds=[0, 1], resume=True).finished
    assert formula.begun == 5
    assert table(folder, "runs.csv", "stopped") == table(folder, "runs.csv", "unbroken")


def test_another_ablation_is_not_gone_on_with(folder: Path, formula: type[Formula]) -> None:
    ablate(folder, vary=VARY)
    with pytest.raises(OutputError, match="of an earlier study"):
        ablate(folder, vary=VARY)
    with pytest.raises(ConfigError, match=r"^seeds: differs from the study"):
        ablate(folder, vary=VARY, seeds=[0, 1], resume=True)


@pytest.mark.parametrize(
    ("design", "drawn"), [("one_at_a_time", "draw_panels"), ("product", "draw_heat_maps")]
)
def test_the_figures(
    folder: Path,
    formula: type[Formula],
    monkeypatch: pytest.MonkeyPatch,
    design: str,
    drawn: str,
) -> None:
    """The objects of the first seed, one for each run."""
    from fastpty.figures import ablation

    monkeypatch.setattr(ablation_output, "write_figure", lambda path, draw: draw())
    seen: dict[str, Any] = {}
    for name in ("draw_panels", "draw_heat_maps", "draw_objects"):
        monkeypatch.setattr(ablation, name, lambda view, name=name: seen.update({name: view}))
    run = formula.run
    image = np.ones((4, 5), np.float32)

    def with_image(self: Formula, *given: Any) -> Any:
        found = run(self, *given)
        found.image, found.pixel_size = image, (0.4, 0.5)
        return found

    monkeypatch.setattr(formula, "run", with_image)
    ablate(folder, vary=VARY, design=design, seeds=[0, 1])
    assert seen.keys() == {drawn, "draw_objects"}
    assert list(seen[drawn].factors) == list(VARY)
    assert len(seen[drawn].runs) == (10 if design == "one_at_a_time" else 12)
    titles = list(seen["draw_objects"])
    assert len(titles) == (4 if design == "one_at_a_time" else 6)
    shown, pixel = seen["draw_objects"]["defocus: 150\norientation: wrong"]
    np.testing.assert_array_equal(shown, image)
    np.testing.assert_array_equal(pixel, (0.4, 0.5))
