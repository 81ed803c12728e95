"""Times the reference implementation of DSIR (package data-selection) as bench/dsir.c times adze:
from JSON lines on disk to JSON lines on disk.

  dsir.py POOL.jsonl TARGET.jsonl COUNT PROCESSES OUTPUT-FOLDER
"""
import contextlib
import importlib.metadata
import io
import json
import os
import shutil
import sys
import time

from data_selection import HashedNgramDSIR


def main():
    pool, target, count, processes, output = sys.argv[1:6]
    shutil.rmtree(output, ignore_errors=True)
    begin = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        dsir = HashedNgramDSIR([pool], [target], cache_dir=os.path.join(output, "cache"),
                               num_proc=int(processes))
        dsir.fit_importance_estimator()
        dsir.compute_importance_weights()
        dsir.resample(out_dir=os.path.join(output, "chosen"), num_to_sample=int(count),
                      cache_dir=os.path.join(output, "resampled"))
    seconds = time.perf_counter() - begin
    print(json.dumps({"megabytes": os.path.getsize(pool) * 1e-6, "threads": int(processes),
                      "seconds": seconds,
                      "version": importlib.metadata.version("data-selection")}))


main()
