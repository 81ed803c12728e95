"""What the comparisons share: adze's programs, and loading another script as a module."""
import importlib.util
import pathlib
import subprocess
import sys

import numpy

TREE = pathlib.Path(__file__).resolve().parent.parent.parent


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.decode()}")
    return done.stdout


def logits(build, model, tokens, vocabulary):
    """adze's logits of one window, (tokens, vocabulary)."""
    ids = numpy.asarray(tokens, dtype=numpy.int32)
    out = run(build / "peer_logits", model, input=ids.tobytes())
    return numpy.frombuffer(out, dtype=numpy.float32).reshape(len(ids), vocabulary)


def script(path):
    spec = importlib.util.spec_from_file_location("script", TREE / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
