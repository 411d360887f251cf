"""What a storm has to tell: how many faults it threw, and which promises it saw broken."""

from dataclasses import dataclass, field


@dataclass
class Report:
    """A storm's outcome. `seed` is the one number that its schedule was drawn from."""

    name: str
    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + by

    def __str__(self) -> str:
        thrown = ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items()))
        return f"{self.name}, seed {self.seed}: {thrown}; {len(self.violations)} violations {self.violations}"
