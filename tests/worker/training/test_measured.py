"""A machine is measured once and only where that is asked for; what it finds decides how jobs begin, and never how they go on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from contract import events
from tests.worker.training import jobs
from worker.training import build, measured, precision
from worker.training.fit import fit
from worker.training.measured import Form, Measured

USUAL, OTHER = Form(precision="float32"), Form(precision="float32", layout="contiguous")
CPU = torch.device("cpu")
FIELDS = {"model": jobs.CONVOLUTIONAL, "penalties": [{"kind": "l1", "lambda": 1e-3}]}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where measurements of a machine are kept, on which the plain layout is twice as fast."""
    monkeypatch.setenv("RIDGELINE_MEASURED", str(tmp_path / "scratch" / "measured.json"))
    _on_a_machine(monkeypatch, [{USUAL: 0.02, OTHER: 0.01}] * 3)
    return tmp_path / "scratch" / "measured.json"


def _on_a_machine(monkeypatch: pytest.MonkeyPatch, rounds: list[dict[Form, float]]) -> None:
    def measure(_: torch.device) -> Iterator[dict[Form, float] | None]:
        for each in rounds:
            yield None
            yield each

    monkeypatch.setattr(measured, "rounds", measure)


def _never() -> bool:
    return False


def _found() -> Measured:
    return Measured(machine=measured.machine(CPU), form=OTHER, milliseconds={str(USUAL): 20.0, str(OTHER): 10.0})


@pytest.mark.parametrize(
    ("seconds", "form"),
    [
        ([(2.0, 1.0), (2.2, 1.1), (1.9, 1.0)], OTHER),
        ([(1.09, 1.0)] * 3, USUAL),  # too little
        ([(2.0, 1.0), (2.2, 1.1), (1.0, 1.1)], USUAL),  # beaten once: noise
        ([(1.0, 2.0)] * 3, USUAL),
    ],
)
def test_another_form_is_taken_only_where_its_gain_is_beyond_noise(seconds: list[tuple[float, float]], form: Form) -> None:
    assert measured.decide([{USUAL: usual, OTHER: other} for usual, other in seconds]) == form


def test_a_real_measurement_times_every_form_and_can_be_left_after_any_step() -> None:
    rounds = measured.rounds(CPU)
    taken = next(each for each in rounds if each is not None)
    assert list(taken) == list(measured.candidates(CPU))
    assert all(seconds > 0 for seconds in taken.values())
    rounds.close()


def test_what_was_found_is_remembered_for_the_next_start(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured.settled(_never)
    _on_a_machine(monkeypatch, [{USUAL: 0.01, OTHER: 0.02}])

    assert found == measured.settled(_never) == Measured.model_validate_json(file.read_bytes()) == _found()
    assert [path.name for path in file.parent.iterdir()] == ["measured.json"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_text("{"),
        lambda file: file.write_text(_found().model_copy(update={"machine": "another"}).model_dump_json()),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["broken", "from another machine", "neither to be read nor written"],
)
def test_a_memory_that_is_of_no_use_costs_a_measurement_and_nothing_else(file: Path, spoil: Callable[[Path], object]) -> None:
    measured.settled(_never)
    spoil(file)
    assert measured.settled(_never) == _found()


def test_an_order_that_comes_meanwhile_does_not_wait_for_the_rest(file: Path) -> None:
    assert measured.settled(lambda: True) is None
    assert not file.exists()


def test_a_measurement_that_fails_leaves_the_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: torch.device) -> Iterator[None]:
        raise RuntimeError("out of memory")
        yield

    monkeypatch.setattr(measured, "rounds", measure)
    found = measured.settled(_never)
    assert found is not None
    assert (found.form, found.milliseconds) == (measured.candidates(CPU)[0], {})
    assert not file.exists()


def test_nothing_is_measured_that_nobody_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIDGELINE_MEASURED")
    assert measured.settled(_never) is None


def test_a_job_begins_in_the_form_that_was_found_and_says_so(tmp_path: Path) -> None:
    run = build.run(jobs.spec(**FIELDS), tmp_path, measured=_found())

    result = jobs.result(run)

    assert all(weight.is_contiguous() for weight in run.named.values())
    assert (result.machine.precision, result.machine.layout, result.machine.measured) == ("float32", "contiguous", _found().milliseconds)
    assert "float32 contiguous, 1 threads" in result.lineage.fingerprint


@pytest.mark.parametrize(
    ("found", "asked"),
    [(_found(), "float64"), (_found().model_copy(update={"machine": "another"}), "float32"), (None, "float32")],
    ids=["another precision", "another machine", "nothing measured"],
)
def test_a_form_that_was_not_measured_for_a_job_is_not_taken(tmp_path: Path, found: Measured | None, asked: str) -> None:
    run = build.run(jobs.spec(**FIELDS, precision=asked), tmp_path, measured=found)
    assert (run.machine.precision, run.machine.layout) == (asked, "channels_last")


@pytest.mark.parametrize(("begun", "later"), [(_found(), None), (None, _found())], ids=["plain", "usual"])
def test_a_resumed_job_goes_on_as_it_began_whatever_its_machine_finds_by_then(
    tmp_path: Path, begun: Measured | None, later: Measured | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = jobs.spec(**FIELDS, precision="auto")
    monkeypatch.setattr(precision, "choose", lambda asked, _: "float32" if asked == "auto" else asked)
    whole = build.run(spec, tmp_path / "whole", measured=begun)
    jobs.said(whole)

    first = build.run(spec, tmp_path / "first", measured=begun)
    jobs.to_step(first, 4)
    jobs.save(first, tmp_path / "saved")
    second = build.run(spec, tmp_path / "second", tmp_path / "saved", measured=later)
    for _ in fit(second):
        pass

    assert second.machine == whole.machine
    assert second.standing.bitwise
    assert jobs.bits(second) == jobs.bits(whole)


def test_both_layouts_compute_the_same_function(tmp_path: Path) -> None:
    # Dropout draws its zeros in the order of memory: another layout is another draw.
    model = {**jobs.CONVOLUTIONAL, "dropout": 0.0}
    losses = []
    for found in (None, _found()):
        run = build.run(jobs.spec(model=model, epochs=1, precision="float32"), tmp_path, measured=found)
        losses.append(next(said for said in fit(run) if isinstance(said, events.EpochDone)).metrics["train.loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
