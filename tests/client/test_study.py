"""A study in the repository can be run: each of its jobs is one that the service would accept, and its table says what came of it."""

import json
from typing import Any

import pytest

from client import study
from contract.spec import JobSpec, check

STUDIES = sorted(path.stem for path in study.FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_job_of_a_study_is_a_spec_that_can_run(name: str) -> None:
    read = {"name": name, **json.loads((study.FOLDER / f"{name}.json").read_text())}
    found = list(study.specs(read))

    assert [check.faults(JobSpec.model_validate(spec)) for _, spec in found] == [[]] * len(found)
    assert len({study._key(read, spec) for _, spec in found}) == len(read["seeds"]) * len(read["jobs"])


def test_a_patch_changes_what_it_names_removes_what_it_nulls_and_leaves_the_rest() -> None:
    base = {"optimizer": {"kind": "adam", "lr": 1e-3}, "epochs": 10}
    read = {"name": "x", "seeds": [3], "base": base, "jobs": {"job": {"optimizer": {"lr": 0.1}, "epochs": None}}}

    ((_, spec),) = study.specs(read)

    assert spec == {"optimizer": {"kind": "adam", "lr": 0.1}, "seed": 3, "name": "job, seed 3", "metadata": {"study": "x"}}


def test_the_table_holds_mean_and_spread_over_the_seeds() -> None:
    def result(accuracy: float, zeros: int, dead: int) -> dict[str, Any]:
        layer = {"name": "conv1", "size": 10, "zeros": zeros, "filters": 4, "dead_filters": dead}
        return {"metrics": {"test.accuracy": accuracy}, "layers": [layer], "timings": {"train": 2.0}}

    shown = study.table({"sparse": [result(0.90, 4, 1), result(0.92, 6, 2)], "dense": [result(0.95, 0, 0)]})

    assert "| sparse | 2 | 0.9100 ± 0.0141 | 0.9000 | 50.0% | conv1 1.5 of 4 | 2 |" in shown
    assert "| dense | 1 | 0.9500 | 0.9500 | 0.0% | none | 2 |" in shown
