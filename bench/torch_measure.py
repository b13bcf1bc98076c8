"""How the PyTorch peers measure: seconds of a call, and the memory that a call adds."""
import os
import subprocess
import sys
import time


def best_seconds(function, clock, seconds=1.0):
    """As bench_time() of bench_main.c."""
    function()
    start = clock()
    function()
    once = best = clock() - start
    calls = max(1, int(0.02 / once) + 1) if once < 0.02 else 1
    begin = clock()
    least = 2 if once > 0.5 else 4
    for sample in range(40):
        if sample >= least and clock() - begin > seconds:
            break
        start = clock()
        for _ in range(calls):
            function()
        best = min(best, (clock() - start) / calls)
    return best


def status_bytes(field):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def peak_of(run):
    """Bytes that run() adds to the resident set at its peak."""
    before = status_bytes("VmRSS")
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # the high-water mark starts anew
    run()
    return status_bytes("VmHWM") - before


def measure_memory(script, name, channels_last, threads):
    """What `script --peak first|last NAME` prints, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    environment["MALLOC_MMAP_THRESHOLD_"] = "65536"  # what is freed leaves the process
    layout = "last" if channels_last else "first"
    command = [sys.executable, script, "--threads", str(threads), "--peak", layout, name]
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    return float(out.split()[-1])
