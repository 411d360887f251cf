"""Whether a well-formed spec can run: what no single field can know."""

from contract.spec import JobSpec
from contract.spec.check import data, finish, grouping, monitors, network, pace, pairing, stepping
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> list[Fault]:
    """Every reason why `spec` cannot run, each with its pointer; empty when it can."""
    checks = (
        data.faults,
        network.faults,
        grouping.faults,
        pace.faults,
        stepping.faults,
        pairing.faults,
        monitors.faults,
        finish.faults,
    )
    return [fault for check in checks for fault in check(spec)]
