"""A trainer does without torch's compiler, and has it where something asks for it."""

import subprocess
import sys

TRAIN = """
import sys
from pathlib import Path
from tempfile import mkdtemp
from contract.spec import JobSpec
from worker.training import build, lean
from worker.training.fit import fit

lean.spare_the_compiler()
for optimizer in ({"kind": "adam"}, {"kind": "sgd", "momentum": 0.9}, {"kind": "lbfgs"}, {"kind": "sam"}, {"kind": "lion"}):
    fake = {"kind": "fake", "train_rows": 4, "test_rows": 1, "validation_fraction": 0.0}
    spec = JobSpec.model_validate({"dataset": fake, "batch_size": 2, "epochs": 1, "optimizer": optimizer, "schedule": {"kind": "cosine"}})
    for _ in fit(build.run(spec, Path(mkdtemp()))):
        pass
"""
LOADED = "print(sorted(name for name in sys.modules if name.startswith('torch._dynamo.')))"
COMPILE = "import torch; print(torch.compile(lambda x: x + 1, backend='eager')(torch.zeros(1)).item(), type(torch._dynamo).__name__)"
IMPORT = "import torch._dynamo.config; from torch._dynamo import reset; print(reset.__module__)"


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_training_never_loads_the_compiler() -> None:
    assert said(TRAIN + LOADED) == "[]"


def test_who_compiles_or_imports_gets_the_real_one() -> None:
    start = "from worker.training import lean; lean.spare_the_compiler(); "
    assert said(start + COMPILE) == "1.0 module"
    assert said(start + IMPORT).startswith("torch._dynamo")


def test_a_compiler_that_is_there_already_stays() -> None:
    assert said(
        "import torch._dynamo; from worker.training import lean; lean.spare_the_compiler(); print(torch._dynamo.disable.__module__)"
    ) == ("torch._dynamo.decorators")
