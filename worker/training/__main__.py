"""The trainer process: `python -m worker.training` takes orders on stdin and says events on stdout until stdin ends."""

import gc
import os
import traceback

from worker.training import lean, lifeline


def main() -> None:
    """Ties the process to its supervisor before anything slow, then loads torch and serves."""
    lifeline.tie_to_parent()
    lifeline.explain_on_demand()
    lifeline.keep_freed_memory()
    # cuBLAS reads it when CUDA starts; jobs that ask for determinism need it and the others do not mind.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # How long libgomp's threads spin before they sleep, read when torch is loaded. Its own 300,000 turns burn the time slice that
    # the other thread waits for as soon as the cores are shared: 250 to 650 samples a second in place of 1,200 beside other work.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from worker.training import wire

    voice, inbox = wire.Voice(), wire.listen()
    try:
        # What is loaded stays for good: to look for garbage in it meanwhile takes a tenth of the time, and later a tenth of a second each time.
        gc.disable()
        # Here and not above: importing torch takes seconds, in which the supervisor may already be gone.
        lean.spare_the_compiler()
        from worker.training import serve

        gc.freeze()
        gc.enable()
        serve.serve(voice, inbox)
    except BaseException:
        traceback.print_exc()
        # Not an ordinary exit: the interpreter would wait for the thread that reads stdin, and abort.
        os._exit(1)


if __name__ == "__main__":
    main()
