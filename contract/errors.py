"""The tree of errors, split by who can act: the caller, the operator, or the owner of a lease."""

from collections.abc import Sequence

from contract.spec.faults import Fault


class RidgelineError(Exception):
    """Every error we raise on purpose. `code` is stable and machine-readable; the message names the value and the remedy."""

    code = "internal"


class RequestError(RidgelineError):
    """The caller asked for something that cannot be; asking otherwise can help."""

    code = "bad_request"


class InvalidSpecError(RequestError):
    """The job spec has faults; all of them are told."""

    code = "invalid_spec"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer or 'the document'}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


class NotFoundError(RequestError):
    """There is no such thing, or it is another tenant's: the two look the same."""

    code = "not_found"

    def __init__(self, noun: str, name: str, why: str = "") -> None:
        super().__init__(f"no {noun} '{name}'" + (f": {why}" if why else ""))


class GoneError(RequestError):
    """It existed and was deleted."""

    code = "gone"


class StateConflictError(RequestError):
    """The job is in a state that does not allow this."""

    code = "state_conflict"


class IdempotencyMismatchError(RequestError):
    """The Idempotency-Key was used before with another body."""

    code = "idempotency_mismatch"


class BadCursorError(RequestError):
    """A cursor that no list of ours gave out, or one for other filters."""

    code = "bad_cursor"


class QuotaExceededError(RequestError):
    """The tenant has as much as it may at once; later there may be room."""

    code = "quota_exceeded"


class QuotaSpentError(QuotaExceededError):
    """The tenant has as much as it may, and waiting alone does not help."""


class InUseError(StateConflictError):
    """Something that has not ended needs it."""

    code = "in_use"


class OperatorError(RidgelineError):
    """Something the service depends on is down or set up wrongly; the operator can act, the caller can try again."""

    code = "unavailable"


class StoreUnavailableError(OperatorError):
    """The database cannot be reached or did not answer in time."""

    code = "store_unavailable"


class BrokerUnavailableError(OperatorError):
    """The broker cannot be reached. Costs latency, never a job."""

    code = "broker_unavailable"


class ArtifactsUnavailableError(OperatorError):
    """The artifact store cannot be read or written."""

    code = "artifacts_unavailable"


class ConfigurationError(OperatorError):
    """A setting that cannot work; the message names it and what would."""

    code = "configuration"


class ArtifactCorruptError(RidgelineError):
    """Stored bytes do not have the checksum they were stored with."""

    code = "artifact_corrupt"


class LostLeaseError(RidgelineError):
    """The job belongs to another attempt by now: whatever this one still holds must be dropped."""

    code = "lost_lease"
