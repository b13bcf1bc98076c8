#!/usr/bin/env python3
"""Compares the SD 1.5 blocks with diffusers at full size, every element of every tensor.

    python3 tools/parity/live_blocks.py build/release/bdpo_test [CASE ...]

For each case: PyTorch computes output and gradients in double, writes them whole into a temporary
directory in the fixtures' format (tests/parity/fixture.h, some hundred MB a case), and the test
of that name in tests/parity/test_parity_blocks.c reads them. Part of `check-long`.
"""
import os
import subprocess
import sys
import tempfile

try:
    import inputs
    from blocks import LIVE, run
except ImportError as missing:
    print(f"SKIPPED  live parity: {missing}")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)


def check(binary, case, directory):
    out = inputs.Fixture(os.path.join(directory, case), ["tools/parity/live_blocks.py"])
    for name, values in run(case).items():
        out.add(name, values)
    out.write()
    test = [binary, "--tier", "long", "-v", f"parity/test_parity_blocks:{case}"]
    done = subprocess.run(test, env={**os.environ, "BDPO_LIVE_DIR": directory}, check=False)
    return done.returncode == 0


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary, wanted = sys.argv[1], sys.argv[2:] or list(LIVE)
    failed = 0
    for case in wanted:
        with tempfile.TemporaryDirectory(prefix="bdpo-live-") as directory:
            failed += not check(binary, case, directory)
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
