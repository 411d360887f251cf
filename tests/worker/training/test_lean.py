"""A trainer does without torch's compiler, and has it where something asks for it."""

import subprocess
import sys

TRAIN = """
import sys
from pathlib import Path
from tempfile import mkdtemp
from contract.spec import JobSpec
from worker.training import lean

lean.spare_the_compiler()
from worker.training import build
from worker.training.fit import fit

for optimizer in ({"kind": "adam"}, {"kind": "sgd", "momentum": 0.9}, {"kind": "lbfgs"}, {"kind": "sam"}, {"kind": "lion"}):
    if optimizer["kind"] == "lion":
        print("torch._prims" in sys.modules)  # before lion, whose package asks for distributed tensors, which load the kernels
    fake = {"kind": "fake", "train_rows": 4, "test_rows": 1, "validation_fraction": 0.0}
    spec = JobSpec.model_validate({"dataset": fake, "batch_size": 2, "epochs": 1, "optimizer": optimizer, "schedule": {"kind": "cosine"}})
    for _ in fit(build.run(spec, Path(mkdtemp()))):
        pass
"""
LOADED = "print(sorted(name for name in sys.modules if name.startswith('torch._dynamo.')))"
KERNELS = "import sys; print(type(sys.modules['torch._meta_registrations']).__name__); "
COMPILE = "import torch; print(torch.compile(lambda x: x + 1, backend='eager')(torch.zeros(1)).item(), type(torch._dynamo).__name__)"
IMPORT = "import torch._dynamo.config; from torch._dynamo import reset; print(reset.__module__)"


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_training_loads_neither_the_compiler_nor_what_serves_it_alone() -> None:
    assert said(TRAIN + LOADED) == "False\n[]"


def test_who_compiles_or_imports_gets_the_real_one() -> None:
    start = "from worker.training import lean; lean.spare_the_compiler(); "
    assert said(start + COMPILE + "; " + KERNELS) == "1.0 module\nmodule"
    assert said(start + IMPORT).startswith("torch._dynamo")


def test_a_compiler_that_is_there_already_stays() -> None:
    assert said(
        "import torch._dynamo; from worker.training import lean; lean.spare_the_compiler(); print(torch._dynamo.disable.__module__)"
    ) == ("torch._dynamo.decorators")


def test_a_torch_that_wants_more_than_is_known_here_is_given_the_kernels() -> None:
    unknown = "from worker.training import lean; lean._draws_numbers = lambda: False; lean.spare_the_compiler(); "
    assert said(unknown + KERNELS) == "module"


def test_a_trainer_that_serves_collects_garbage_but_looks_for_none_in_what_it_loaded() -> None:
    # By its exit code: stdout is where the trainer speaks to its supervisor.
    said(
        "import gc, sys; from worker.training import __main__ as trainer, serve; serve.serve = lambda *_: None; "
        "trainer.main(); sys.exit(not (gc.isenabled() and gc.get_freeze_count() > 50_000))"
    )
