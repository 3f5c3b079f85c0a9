"""``python -m benchmarks NAME [--quick]``; ``./bench`` sets the environment up and calls it."""

from __future__ import annotations

import argparse
import sys

from benchmarks import vector

BENCHMARKS = {"vector": vector.run}


def main() -> int:
    """Run the named benchmark; 0 only when every figure meets its target."""
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer rows, under a minute")
    arguments = parser.parse_args()
    return BENCHMARKS[arguments.name](quick=arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
