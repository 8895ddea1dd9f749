#!/usr/bin/env python3
"""Runs nibble-bench and keeps what it says in bench/results, with the commit that it is of.

  bench/record.py [--tool PATH] NAME -m MODEL.nbl [nibble-bench's options]

writes bench/results/NAME.json. The model is named by its file alone: run it from the model's
folder. A tree with changes is marked -dirty.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build/release/tools/nibble-bench"


def commit():
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(describe, check=True, capture_output=True, text=True).stdout.strip()


def main(arguments):
    tool = TOOL
    if arguments[:1] == ["--tool"] and len(arguments) > 1:
        tool, arguments = pathlib.Path(arguments[1]).resolve(), arguments[2:]
    if len(arguments) < 3 or "/" in arguments[0] or arguments[0].startswith("-"):
        sys.exit(__doc__.strip())
    name, options = arguments[0], arguments[1:]
    result = subprocess.run([tool, *options, "-o", "json"], stdout=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"record.py: {tool.name} ended with {result.returncode}")
    report = {"commit": commit(), **json.loads(result.stdout)}
    folder = ROOT / "bench/results"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(f"wrote bench/results/{name}.json: {report['command']}")


if __name__ == "__main__":
    main(sys.argv[1:])
