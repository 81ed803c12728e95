"""What turns of two programs are made of: waiting for a quiet machine, programs that make a step for
each line they are sent, rounds in which every side has its turn, ratios of turns beside each other.
"""
import json
import os
import statistics
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
DISTURBED = 0.05


def busy_ticks():
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4]


def own_ticks(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                words = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += int(words[11]) + int(words[12])
    return total


class Quiet:
    """Waits for other processes to be quiet, for at most `patience` seconds in all."""

    def __init__(self, patience):
        self.left = patience
        self.pids = []

    def others(self):
        """Ticks of processes that are not ours: neither children that ended nor those at work."""
        times = os.times()
        ended = times.user + times.system + times.children_user + times.children_system
        return busy_ticks() - int(ended * TICKS) - own_ticks(self.pids)

    def wait(self):
        while self.left > 0:
            before, begin = self.others(), time.monotonic()
            time.sleep(0.25)
            elapsed = time.monotonic() - begin
            if self.others() - before < 0.1 * elapsed * TICKS * CORES:
                return
            self.left -= elapsed

    def watch(self, work):
        """Runs work() and returns its result and the share that others took of the machine."""
        before, begin = self.others(), time.monotonic()
        result = work()
        elapsed = max(time.monotonic() - begin, 0.05)
        return result, max(0.0, self.others() - before) / (elapsed * TICKS * CORES)


class Stepper:
    """A program that makes one step for each line it is sent."""

    def __init__(self, command, threads):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment(threads))

    def ready(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} ended before its first step")
        return line

    def ask(self, line=""):
        """The answer to a line."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def step(self):
        return self.ask()["seconds"]

    def finish(self):
        self.process.stdin.close()
        summary = json.loads(self.process.stdout.readline())
        self.process.wait()
        return summary


def environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_THREAD_TIMEOUT": "20",
            "RAYON_NUM_THREADS": str(threads)}


def take_turns(quiet, sides, rounds):
    """Rounds in which every side has its turn; {side: [value of each kept round]}."""
    kept, spoiled, tries = [], [], 0
    while len(kept) < rounds and tries < rounds * 4:
        tries += 1
        row, worst = {}, 0.0
        for name, turn in sides.items():
            quiet.wait()
            row[name], share = quiet.watch(turn)
            worst = max(worst, share)
        (kept if worst < DISTURBED else spoiled).append(row)
        if quiet.left <= 0 and len(kept) + len(spoiled) >= rounds:
            break
    rows = kept if len(kept) >= 3 else kept + spoiled
    note = {"rounds": len(rows), "disturbed": len(rows) - len(kept), "repeated": len(spoiled)}
    return {name: [row[name] for row in rows] for name in sides}, note


def ratios(theirs, ours):
    values = [a / b for a, b in zip(theirs, ours)]
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def run_json(command, threads):
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                            env=environment(threads)).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def watched(command, threads):
    """A turn of a program that measures itself; its children count as ours once they ended."""
    return lambda: run_json(command, threads)[-1]
