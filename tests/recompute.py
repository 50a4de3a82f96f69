#!/usr/bin/env python3
"""Recomputes boards and months from the file of marathon gifts, without the ledger.

Nothing here is shared with Giftledger: the arithmetic is written again from DOMAIN's rules, so that
both would have to be wrong in the same way. Python's standard library only; amounts are integers.

    recompute.py board   CSV --month 2016-01 | --activity AGDQ2016  [--members senders] [--top 50]
    recompute.py months  CSV
    recompute.py check
    recompute.py extract CSV --year 2012 --out FILE.csv
    recompute.py compare CSV --binary giftledger --data DIR [--platform platform.toml]
                         [--month 2016-01 ...] [--activity AGDQ2016 ...] [--top 50]

`check` tries the arithmetic on DOMAIN's own figures; `board` prints what `giftledger board --json` prints. `compare` asks the binary for boards and
months, all of them unless some are named, and ends with 1 at the first difference.
"""

import argparse
import calendar
import csv
import gzip
import io
import json
import subprocess
import sys
import time
import tomllib
from fractions import Fraction

BOARD = ["rank", "member", "score", "reached_at"]
COLUMNS = ["gift_id", "campaign", "occurred_at", "sender", "amount_usd", "room", "streamers"]


def open_csv(path):
    """The file's text, whether compressed or not."""
    raw = open(path, "rb")
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return io.TextIOWrapper(gzip.GzipFile(fileobj=raw) if packed else raw, encoding="utf-8", newline="")


def cents(amount):
    whole, _, fraction = amount.partition(".")
    if len(fraction) > 2 or not (whole + fraction).isdigit():
        raise ValueError(f"{amount!r} is not an amount in dollars and cents")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))


def nanoseconds(text):
    """A time such as 2016-01-03T16:37:01.250Z as nanoseconds since 1970."""
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is not a time in UTC")
    seconds, _, fraction = text[:-1].partition(".")
    whole = calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S"))
    return whole * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)


def time_text(nanos):
    """As the ledger prints it: no fraction, or one of 3, 6 or 9 digits."""
    seconds, fraction = divmod(nanos, 1_000_000_000)
    digits = f"{fraction:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return stamp + ("." + digits if digits else "") + "Z"


def split(total, names):
    """Equal parts by largest remainder, ties to the first named; a name given twice counts twice."""
    weights = {}
    for name in names:
        weights[name] = weights.get(name, 0) + 1
    exact = {name: Fraction(total * weight, len(names)) for name, weight in weights.items()}
    parts = {name: part.numerator // part.denominator for name, part in exact.items()}
    left = total - sum(parts.values())
    by_remainder = sorted(weights, key=lambda name: parts[name] - exact[name])  # stable
    for name in by_remainder[:left]:
        parts[name] += 1
    return parts


class Gift:
    """One row."""

    __slots__ = ("activity", "at", "month", "sender", "cents", "parts")

    def __init__(self, row):
        self.activity = row["campaign"]
        self.at = nanoseconds(row["occurred_at"])
        self.month = row["occurred_at"][:7]
        self.sender = row["sender"]
        self.cents = cents(row["amount_usd"])
        names = row["streamers"].split("|") if row["streamers"] else []
        self.parts = split(self.cents, names) if names else {}


def read(path):
    with open_csv(path) as text:
        rows = csv.DictReader(text)
        if rows.fieldnames != COLUMNS:
            sys.exit(f"{path}: the columns are {rows.fieldnames}, not {COLUMNS}")
        return [Gift(row) for row in rows]


def board(gifts, members):
    """All rows, by score, then the earlier last increase, then the member's id. The house is no member."""
    scores, reached = {}, {}
    for gift in gifts:
        increases = {gift.sender: gift.cents} if members == "senders" else gift.parts
        for member, increase in increases.items():
            if increase > 0:
                scores[member] = scores.get(member, 0) + increase
                reached[member] = max(reached.get(member, gift.at), gift.at)
    ranked = sorted(scores, key=lambda member: (-scores[member], reached[member], member))
    return [
        {"rank": rank, "member": member, "score": str(scores[member]), "reached_at": time_text(reached[member])}
        for rank, member in enumerate(ranked, 1)
    ]


def month_sums(gifts):
    """Per month the base of each streamer in cents, and the house's under `None`."""
    months = {}
    for gift in gifts:
        bases = months.setdefault(gift.month, {})
        for streamer, part in gift.parts.items():
            bases[streamer] = bases.get(streamer, 0) + part
        if not gift.parts:
            bases[None] = bases.get(None, 0) + gift.cents
    return months


def dollars(minor):
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"


def default_share(path):
    """The share of every streamer without terms of their own, where that is all there is to know."""
    with open(path, "rb") as file:
        platform = tomllib.load(file, parse_float=Fraction)
    terms = platform.get("streamer", [])
    if len(terms) != 1 or "streamer" in terms[0] or platform.get("guild") or platform.get("membership"):
        sys.exit(f"{path}: this computation knows one default share and no guilds")
    if platform["entity"]["coins_per_unit"] != 100:
        sys.exit(f"{path}: this computation knows 100 coins to the dollar")
    return Fraction(terms[0]["share"])


def payout(bases, share):
    """What a month pays, in the fields of `giftledger settle --dry-run --json` that follow from the file; sums of
    coins are decimal strings, as in all that the ledger prints."""
    paid = {streamer: base for streamer, base in bases.items() if streamer is not None and base}
    amounts = {streamer: int(base * share) for streamer, base in paid.items()}  # to the cent, towards zero
    total, house = sum(bases.values()), bases.get(None, 0)
    return {
        "streamers": [
            {"streamer": streamer, "base": str(paid[streamer]), "amount": dollars(amounts[streamer])}
            for streamer in sorted(paid)
        ],
        "house": {"base": str(house), "worth": dollars(house)},
        "platform": dollars(total - sum(amounts.values())),
        "check": {
            "base": str(total),
            "worth": dollars(total),
            "streamers": dollars(sum(amounts.values())),
            "guilds": "0.00",
            "difference": "0.00",
        },
    }


def amount_of(value):
    """The ledger's money is {"currency": …, "amount": …}."""
    if isinstance(value, dict) and set(value) == {"currency", "amount"}:
        if value["currency"] != "USD":
            raise ValueError(f"an amount in {value['currency']}")
        return value["amount"]
    return value


def picked(found, keys):
    """These fields of what the ledger printed, in this order, amounts as text."""
    return {key: amount_of(found.get(key)) for key in keys}


class Ledger:
    """The binary under test."""

    def __init__(self, binary, data):
        self.binary, self.data = binary, data

    def ask(self, *words):
        """The objects that a command prints."""
        command = [self.binary, *words, "--json", "--data", self.data]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        try:
            return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        except ValueError as error:
            sys.exit(f"{' '.join(command)} printed something that is not JSON: {error}")


def same(what, expected, found):
    """Ends where two lists part, and says where."""
    if expected == found:
        return
    print(f"DIFFERENT: {what}", file=sys.stderr)
    for number, (ours, theirs) in enumerate(zip(expected, found), 1):
        if ours != theirs:
            print(f"  line {number}\n  expected {ours}\n  found    {theirs}", file=sys.stderr)
            sys.exit(1)
    print(f"  expected {len(expected)} lines, found {len(found)}", file=sys.stderr)
    longer, name = (expected, "missing") if len(expected) > len(found) else (found, "too much")
    print(f"  {name}: {longer[min(len(expected), len(found))]}", file=sys.stderr)
    sys.exit(1)


def compare(args):
    gifts = read(args.csv)
    share = default_share(args.platform)
    ledger = Ledger(args.binary, args.data)
    named = args.month or args.activity
    months = sorted({gift.month for gift in gifts}) if not named else args.month or []
    activities = sorted({gift.activity for gift in gifts}) if not named else args.activity or []
    windows = [("--month", month, [g for g in gifts if g.month == month]) for month in months]
    windows += [("--activity", name, [g for g in gifts if g.activity == name]) for name in activities]
    rows = 0
    for option, value, counted in windows:
        for members in ("streamers", "senders"):
            words = ["board", option, value, "--members", members, "--top", str(args.top)]
            expected = board(counted, members)[: args.top]
            same(" ".join(words), expected, [picked(row, BOARD) for row in ledger.ask(*words)])
            rows += len(expected)
    sums = month_sums(gifts)
    for month in months:
        words = ["settle", "--dry-run", month]
        expected = payout(sums.get(month, {}), share)
        answers = [answer for answer in ledger.ask(*words) if "streamers" in answer]
        if len(answers) != 1:
            sys.exit(f"{' '.join(words)} --json printed {len(answers)} objects with `streamers`, not one")
        found = answers[0]
        lines = [picked(line, ("streamer", "base", "amount")) for line in found["streamers"]]
        same(" ".join(words), expected.pop("streamers"), sorted(lines, key=lambda line: line["streamer"]))
        for key, value in expected.items():
            theirs = picked(found[key], value) if isinstance(value, dict) else amount_of(found[key])
            same(f"{' '.join(words)}, {key}", [value], [theirs])
    total = sum(gift.cents for gift in gifts)
    print(
        f"recompute: {len(windows) * 2} boards ({rows} rows) and {len(months)} months are the same; "
        f"the file has {len(gifts)} gifts, {total} cents"
    )


def extract(args):
    """Writes the rows of one year, in the file's order."""
    with open_csv(args.csv) as text, open(args.out, "w", encoding="utf-8", newline="") as out:
        rows = csv.reader(text)
        writer = csv.writer(out, lineterminator="\n")
        header = next(rows)
        writer.writerow(header)
        at = header.index("occurred_at")
        writer.writerows(row for row in rows if row[at].startswith(args.year))


def check():
    """DOMAIN's figures."""
    cases = [
        (split(4, ["a"] * 6 + ["b"] * 6 + ["c"] * 2), {"a": 2, "b": 2, "c": 0}),
        (split(5, ["a", "b", "c"]), {"a": 2, "b": 2, "c": 1}),
        (split(1, ["b", "a"]), {"b": 1, "a": 0}),
        (split(10, ["a", "b", "a"]), {"a": 7, "b": 3}),
        (time_text(nanoseconds("2016-01-03T16:37:01.250Z")), "2016-01-03T16:37:01.250Z"),
        (time_text(nanoseconds("2016-01-03T16:37:01.000Z")), "2016-01-03T16:37:01Z"),
        (cents("200556.24"), 20055624),
        (payout({"s": 101, None: 7}, Fraction("0.5"))["check"]["streamers"], "0.50"),
    ]
    for found, expected in cases:
        if found != expected:
            sys.exit(f"recompute.py is wrong itself: {found} is not {expected}")
    print(f"recompute: {len(cases)} figures of its own arithmetic are right")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    for name in ("board", "months", "extract", "compare"):
        modes.add_parser(name).add_argument("csv")
    for name in ("board", "compare"):
        modes.choices[name].add_argument("--top", type=int, default=50)
    modes.add_parser("check")
    window = modes.choices["board"].add_mutually_exclusive_group(required=True)
    window.add_argument("--month")
    window.add_argument("--activity")
    modes.choices["board"].add_argument("--members", choices=["streamers", "senders"], default="streamers")
    modes.choices["extract"].add_argument("--year", required=True)
    modes.choices["extract"].add_argument("--out", required=True)
    modes.choices["compare"].add_argument("--binary", required=True)
    modes.choices["compare"].add_argument("--data", required=True)
    modes.choices["compare"].add_argument("--platform", default="docs/marathon/platform.toml")
    modes.choices["compare"].add_argument("--month", action="append")
    modes.choices["compare"].add_argument("--activity", action="append")
    args = parser.parse_args()
    if args.mode == "compare":
        compare(args)
    elif args.mode == "check":
        check()
    elif args.mode == "extract":
        extract(args)
    elif args.mode == "months":
        for month, bases in sorted(month_sums(read(args.csv)).items()):
            streamers = sum(streamer is not None for streamer in bases)
            line = {"month": month, "base": sum(bases.values()), "house": bases.get(None, 0), "streamers": streamers}
            print(json.dumps(line))
    else:
        gifts = [g for g in read(args.csv) if args.activity in (None, g.activity) and args.month in (None, g.month)]
        for row in board(gifts, args.members)[: args.top]:
            print(json.dumps(row, separators=(",", ":")))


if __name__ == "__main__":
    main()
