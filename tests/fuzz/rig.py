"""How the service is fuzzed: schemathesis reads its own description and asks for everything that it says, and for what it forbids."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import schemathesis
from fastapi import FastAPI
from pydantic import SecretStr
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from contract.settings import Settings
from contract.store import Store, schema
from service import logs
from service.app import create_app

PHASES: Final = ("examples", "coverage", "fuzzing", "stateful")
# What no schema can say: which fields of a spec go together, which cursor a list gave out.
UNCHECKED: Final = ("positive_data_acceptance",)
# 503 is what it is there to answer; its shape is checked all the same.
MAY_BE_DOWN: Final = "GET /readyz"
KEY: Final = "of-an-operator-that-breaks-things"


@dataclass
class Report:
    """What was asked, and what was wrong with the answers."""

    requests: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """By operation and kind of failure, one example of each."""

    def add(self, other: "Report") -> None:
        self.requests += other.requests
        self.phases += other.phases
        self.statuses += other.statuses
        self.failures = {**other.failures, **self.failures}

    def __str__(self) -> str:
        told = ", ".join(f"{count:,} {name}" for name, count in sorted(self.phases.items()))
        answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.requests:,} requests ({told}); answers: {answers}; {len(self.failures)} kinds of failure"


def app(folder: Path, key: str | None = KEY) -> FastAPI:
    """The application on a new database, with a broker that nobody can reach, a reconciler that stays quiet, and a key to ask with."""
    logs.configure("critical")
    settings = Settings(
        database_url=f"sqlite:///{folder}/ridgeline.db",
        redis_url="redis://127.0.0.1:1/0",
        artifacts_folder=folder / "artifacts",
        reconcile_seconds=3600,
        admin_key=SecretStr(key) if key else None,
    )
    store = Store(settings.database_url)
    schema.migrate(store)
    store.close()
    return create_app(settings)


def fuzz(
    made: FastAPI,
    *,
    phases: Sequence[str] = PHASES,
    seed: int = 1,
    examples: int = 20,
    most: int | None = None,
    only: str | None = None,
    leave_out: str | None = None,
) -> Report:
    """Ask until the phases are through, or `most` requests were made. `only` and `leave_out` are patterns of paths."""
    described = schemathesis.openapi.from_asgi("/openapi.json", made, config=_config(phases, seed, examples))
    if only:
        described = described.include(path_regex=only)
    if leave_out:
        described = described.exclude(path_regex=leave_out)
    report = Report()
    stream = from_schema(described).execute()
    for event in stream:
        match event:
            case events.ScenarioFinished():
                _note(event, report)
            case events.NonFatalError() | events.FatalError():
                report.failures[f"{getattr(event, 'label', 'engine')}: could not be tested"] = str(getattr(event, "value", event))
        if most is not None and report.requests >= most:
            stream.stop()
    return report


def _config(phases: Sequence[str], seed: int, examples: int) -> SchemathesisConfig:
    off: dict[str, Any] = {"enabled": False}
    return SchemathesisConfig.from_dict({
        "seed": seed,
        "continue-on-failure": True,
        "headers": {"Authorization": f"Bearer {KEY}"},
        "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
        "checks": dict.fromkeys(UNCHECKED, off),
        "phases": {name: {"enabled": name in phases} for name in PHASES},
        "operations": [
            # What is deleted there is a limit of the tenant's own: those of the settings are shown then.
            {"include-name": "DELETE /v1/quota/{tenant}", "checks": {"use_after_free": off, **dict.fromkeys(UNCHECKED, off)}},
            {"include-name": "GET /v1/quota/{tenant}", "checks": {"use_after_free": off, **dict.fromkeys(UNCHECKED, off)}},
            {"include-name": MAY_BE_DOWN, "checks": {"not_a_server_error": off, **dict.fromkeys(UNCHECKED, off)}},
        ],
    })  # fmt: skip


def _note(event: events.ScenarioFinished, report: Report) -> None:
    for interaction in event.recorder.interactions.values():
        report.requests += 1
        report.phases[event.phase.value] += 1
        report.statuses[str(interaction.response.status_code) if interaction.response else "none"] += 1
    for checks in event.recorder.checks.values():
        for check in checks:
            if check.failure_info:
                failure = check.failure_info.failure
                report.failures.setdefault(f"{failure.operation}: {failure.title}", f"{failure.message}\n{check.failure_info.code_sample}")
