"""While hostile clients are refused, every other client is answered, and the service's memory stays what it was. What they cost the
others in time is measured by `benchmarks/hostile.py`."""

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from benchmarks.hostile import ATTACKS, LIMITS, MEBIBYTE, Probe, resident, served


def test_attacks_of_every_kind_at_once_are_refused_while_all_others_are_answered(tmp_path: Path) -> None:
    with served(tmp_path, **LIMITS) as (pid, port), ThreadPoolExecutor(2 * len(ATTACKS)) as attackers:
        probe, statuses = Probe(port), []
        probe.ask()
        before = resident(pid)
        under_way = {attackers.submit(attack, port): (name, status) for name, (attack, status) in [*ATTACKS.items()] * 2}
        while not (statuses and wait(under_way, timeout=0).not_done == set()):
            statuses.append(probe.ask()[0])
        grown = resident(pid, "VmHWM") - before
    found = {(*told, future.result().status, future.result().is_problem) for future, told in under_way.items()}
    assert found == {(name, status, status, status is not None) for name, (_, status) in ATTACKS.items()}
    assert set(statuses) == {200}
    assert grown < 100 * MEBIBYTE
    assert [*(tmp_path / "scratch" / "uploads").iterdir()] == []
