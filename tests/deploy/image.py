"""What the Dockerfile says of each of its images, read the way a builder reads it."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
TARGETS = ("service", "worker")


@dataclass(frozen=True)
class Instruction:
    verb: str
    rest: str


@dataclass(frozen=True)
class Image:
    """One stage with all the stages it is built on, the lowest first."""

    instructions: tuple[Instruction, ...]

    def all(self, verb: str) -> list[str]:
        return [each.rest for each in self.instructions if each.verb == verb]

    @property
    def command(self) -> list[str]:
        """CMD in its exec form; a shell form raises ValueError."""
        return list(json.loads(self.all("CMD")[-1]))

    @property
    def health_command(self) -> list[str]:
        return list(json.loads(self.all("HEALTHCHECK")[-1].partition("CMD ")[2]))

    @property
    def environment(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in shlex.split(line))


def stages() -> dict[str, Image]:
    """Every stage of the Dockerfile by its name."""
    found: dict[str, Image] = {}
    name = ""
    for instruction in _instructions(DOCKERFILE.read_text()):
        if instruction.verb == "FROM":
            below, _, name = instruction.rest.partition(" AS ")
            found[name] = Image((*(found[below].instructions if below in found else ()), instruction))
        else:
            found[name] = Image((*found[name].instructions, instruction))
    return found


def _instructions(text: str) -> list[Instruction]:
    without_comments = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", without_comments).splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]
