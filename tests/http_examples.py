#!/usr/bin/env python3
"""Runs the examples of docs/http.md as they stand there, against a server of its own, and compares the answers.

    http_examples.py --binary giftledger --scratch DIR [--guide docs/http.md] [--show]

Every ```sh block is run, one after the other in one shell, in an empty folder. The block of another kind that follows it
is the expected answer:

    ```json   one JSON value, written in as many lines as is good to read
    ```ndjson such a value a line
    ```http   status line, headers, an empty line, JSON: headers that are not named may come too
    ```text   text

In it `…` within a text stands for anything, `"…": "…"` in an object for further fields, and a line `…` for further
lines. `--show` prints what comes, to write such a block. `giftledger serve` is not run as it stands: the server gets a
free port, and $GIFTLEDGER_URL names it. Python's standard library only.
"""

import argparse
import json
import os
import re
import subprocess
import sys

from served import Served

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example:
    def __init__(self, line, command):
        self.line, self.command = line, command
        self.form, self.expected = None, None


def examples(guide):
    with open(guide, encoding="utf-8") as file:
        text = file.read()
    found = []
    for block in FENCE.finditer(text):
        form, body = block.groups()
        if form == "sh":
            found.append(Example(text.count("\n", 0, block.start()) + 1, body))
        elif form in ("json", "ndjson", "http", "text") and found and found[-1].expected is None:
            found[-1].form, found[-1].expected = form, body
    return found


def fits(expected, found, path=""):
    """Where a value differs from what is expected; None if it does not."""
    if isinstance(expected, str) and "…" in expected:
        pattern = ".*".join(re.escape(part) for part in expected.split("…"))
        is_so = isinstance(found, str) and re.fullmatch(pattern, found, re.DOTALL)
        return None if is_so else f"{path or 'it'} is {found!r}, not {expected!r}"
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            if name == "…":
                continue
            if name not in found:
                return f"{path}.{name} is missing"
            if different := fits(value, found[name], f"{path}.{name}"):
                return different
        more = [] if "…" in expected else [name for name in found if name not in expected]
        return f"{path or 'it'} has {', '.join(more)} too" if more else None
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{path or 'it'} has {len(found)} members, not {len(expected)}"
        different = (fits(*pair, f"{path}[{n}]") for n, pair in enumerate(zip(expected, found)))
        return next(filter(None, different), None)
    same = type(expected) is type(found) and expected == found
    return None if same else f"{path or 'it'} is {found!r}, not {expected!r}"


def lines_fit(expected, found, compare):
    """Line by line; a line `…` stands for any number of them."""
    if not expected:
        return f"more comes: {found[0]}" if found else None
    if expected[0] == "…":
        tries = [lines_fit(expected[1:], found[n:], compare) for n in range(len(found) + 1)]
        return None if None in tries else tries[-1]
    if not found:
        return f"this does not come: {expected[0]}"
    return compare(expected[0], found[0]) or lines_fit(expected[1:], found[1:], compare)


def json_fits(expected, found):
    try:
        return fits(json.loads(expected), json.loads(found))
    except ValueError as error:
        return f"{error}: {found[:300]}"


def http_fits(expected, found):
    head, _, body = expected.partition("\n\n")
    found_head, _, found_body = found.replace("\r\n", "\n").partition("\n\n")
    status, *headers = head.strip().split("\n")
    found_status, *found_headers = found_head.split("\n")
    if status != found_status:
        return f"{found_status}, not {status}: {found_body}"
    came = {line.lower() for line in found_headers}
    for header in headers:
        pattern = ".*".join(re.escape(part) for part in header.lower().split("…"))
        if not any(re.fullmatch(pattern, line) for line in came):
            return f"the header {header!r} is missing among {sorted(came)}"
    return json_fits(body, found_body) if body.strip() else None


def differs(example, found):
    expected = example.expected.strip()
    found = found.strip()
    if example.form == "json":
        return json_fits(expected, found)
    if example.form == "http":
        return http_fits(expected, found)
    compare = json_fits if example.form == "ndjson" else fits
    return lines_fit(expected.split("\n"), found.split("\n") if found else [], compare)


def run(examples_, folder, environment):
    """Runs all in one shell, and returns of each what it printed, what it complained about, and how it ended."""
    script, outs = [], []
    for n, example in enumerate(examples_):
        paths = [os.path.join(folder, f"{n}.{what}") for what in ("sh", "out", "err", "status")]
        with open(paths[0], "w", encoding="utf-8") as file:
            file.write(example.command)
        script.append(". {} </dev/null >{} 2>{}; echo $? >{}".format(*paths))
        outs.append(paths[1:])
    work = os.path.join(folder, "work")
    os.makedirs(work)
    subprocess.run(["bash", "-c", "\n".join(script)], cwd=work, env=environment, timeout=100, check=True)
    return [[open(path, encoding="utf-8").read() for path in paths] for paths in outs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--binary", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--guide", default=os.path.join(os.path.dirname(here), "docs", "http.md"))
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    folder = os.path.abspath(arguments.scratch)
    os.makedirs(os.path.join(folder, "bin"))
    os.symlink(os.path.abspath(arguments.binary), os.path.join(folder, "bin", "giftledger"))
    all_examples = examples(arguments.guide)
    asked = [example for example in all_examples if not example.command.startswith("giftledger serve")]
    if len(asked) == len(all_examples):
        sys.exit(f"{arguments.guide} does not start a server")
    served = Served(arguments.binary, os.path.join(folder, "ledger"), os.path.join(folder, "server.log")).start()
    path = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]
    data = os.path.join(folder, "ledger")
    environment = {**os.environ, "PATH": path, "GIFTLEDGER_URL": served.url, "GIFTLEDGER_DATA": data, "NO_COLOR": "1"}
    faults = 0
    try:
        for example, (out, err, status) in zip(asked, run(asked, folder, environment)):
            if arguments.show:
                print(f"--- {example.line}: {example.command.strip()[:100]}\n{out}{err}")
            wrong = f"it ended with {status.strip()}: {out}{err}" if status.strip() != "0" else None
            if wrong is None and example.expected is not None:
                wrong = differs(example, out)
            if wrong:
                faults += 1
                print(f"   FAULT: {arguments.guide}:{example.line}: {wrong}")
    finally:
        ended = served.stop()
    if not ended:
        faults += 1
        print(f"   FAULT: the server did not end in order: {served.said()}")
    print(f"   {len(asked)} examples, of which {sum(e.expected is not None for e in asked)} with an answer, {faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
