#!/usr/bin/env python3
"""Has others' bookkeeping re-derive every account of an exported journal, and compares with the ledger.

    giftledger export --format beancount --data DIR > books.beancount
    giftledger export --format hledger   --data DIR > books.journal
    giftledger balance --all --json      --data DIR > balances.ndjson
    books.py --beancount books.beancount --journal books.journal --balances balances.ndjson
             [--bean-check bean-check] [--hledger hledger]

- `bean-check` reads the beancount journal and derives each balance that it asserts; every account
  of the ledger must be asserted, with the ledger's balance.
- `hledger` reads its journal, checks the balances that it asserts, and derives all itself; they must be the ledger's.
- The ledger's balances must sum to zero per asset.

Python's standard library only. Ends with 1 at the first difference. Names and signs are those of
projections/src/books/names.rs: an id stands behind a capital and a hyphen, every byte of it that is
no letter or digit as a hyphen and two hexadecimal digits; books show what the ledger owes as minus.
"""

import argparse
import csv
import io
import json
import re
import subprocess
import sys
from decimal import Decimal

PLATFORM = {
    "issued": "Equity:Platform:Issued",
    "sales": "Income:Sales",
    "grants": "Expenses:Grants",
    "expired": "Income:Expired",
    "gifts": "Income:Gifts",
}
BALANCE = re.compile(r"^(\d{4}-\d\d-\d\d) balance (\S+)\s+(-?[0-9.]+) ~ 0 ([A-Z]+)$")


def escaped(text):
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"-{byte:02x}" for byte in text.encode())


def name_in_books(account):
    """The name of one of the ledger's accounts in beancount and hledger."""
    parts = account.split(":")
    match parts:
        case ["user", user]:
            return f"Liabilities:Users:U-{escaped(user)}"
        case ["held", order]:
            return f"Liabilities:Held:H-{order.replace('.', '-')}"
        case ["streamer", streamer, "turnover"]:
            return f"Liabilities:Streamers:S-{escaped(streamer)}:Turnover"
        case ["provider", provider, "payable"]:
            return f"Liabilities:Providers:P-{escaped(provider)}:Payable"
        case ["channel", channel, "receivable"]:
            return f"Assets:Channels:C-{escaped(channel)}:Receivable"
        case ["platform", purpose] if purpose in PLATFORM:
            return PLATFORM[purpose]
        case ["transit", source, target]:
            return f"Equity:Transit:S{source}-T{target}"
    sys.exit(f"{account!r} is not an account that books.py knows")


def of_ledger(path):
    """The ledger's balances as books show them, by (account, commodity)."""
    balances, sums = {}, {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line, parse_float=Decimal)
                asset, balance = row["asset"], Decimal(row["balance"])
                key = name_in_books(row["account"]), "COIN" if asset == "coin" else asset
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                sys.exit(f"{path}, line {number}: not an account's balance: {line.strip()[:200]} ({error!r})")
            if key in balances:
                sys.exit(f"{path}, line {number}: {key[0]} has two balances in {key[1]}")
            balances[key] = -balance
            sums[asset] = sums.get(asset, 0) + balance
    for asset, total in sums.items():
        if total != 0:
            sys.exit(f"DIFFERENT: all balances in {asset} sum to {total}, not to zero")
    if not balances:
        sys.exit(f"{path} has no balances")
    return balances


def of_beancount(path):
    """The newest asserted balance of each account, and how many of any age there are."""
    newest, count = {}, 0
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            found = BALANCE.match(line)
            if found:
                day, account, number, commodity = found.groups()
                count += 1
                if (account, commodity) not in newest or newest[account, commodity][0] <= day:
                    newest[account, commodity] = day, Decimal(number)
    return {key: number for key, (_, number) in newest.items()}, count


def of_hledger(hledger, path):
    """The balances that hledger derives."""
    words = ["-f", path, "balance", "--flat", "--empty", "--no-total", "--layout=bare", "-O", "csv"]
    rows = csv.DictReader(io.StringIO(run([hledger, *words])))
    if rows.fieldnames != ["account", "commodity", "balance"]:
        sys.exit(f"{hledger} balance printed the columns {rows.fieldnames}")
    return {
        (row["account"], row["commodity"]): Decimal(row["balance"].replace(",", ""))
        for row in rows
        if row["commodity"]
    }


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{said[:2000]}")
    return done.stdout


def compare(what, expected, found):
    """Every account on either side; one that is missing has a balance of zero."""
    for key in sorted(expected.keys() | found.keys()):
        ours, theirs = expected.get(key, Decimal(0)), found.get(key, Decimal(0))
        if ours != theirs:
            sys.exit(f"DIFFERENT: {key[0]} in {key[1]}: the ledger has {ours}, {what} has {theirs}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beancount", required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--balances", required=True)
    parser.add_argument("--bean-check", default="bean-check")
    parser.add_argument("--hledger", default="hledger")
    args = parser.parse_args()
    ledger = of_ledger(args.balances)
    asserted, count = of_beancount(args.beancount)
    missing = [key for key, balance in ledger.items() if balance != 0 and key not in asserted]
    if missing:
        sys.exit(f"DIFFERENT: {args.beancount} does not assert {missing[0][0]} in {missing[0][1]}")
    compare("the beancount journal", ledger, asserted)
    run([args.bean_check, "--no-cache", args.beancount])
    print(f"books: bean-check derived all {count} balances that the journal asserts, the ledger's among them")
    derived = of_hledger(args.hledger, args.journal)
    compare("hledger", ledger, derived)
    print(f"books: hledger derived the ledger's {len(ledger)} balances, difference zero")


if __name__ == "__main__":
    main()
