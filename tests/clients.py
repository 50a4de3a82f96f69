#!/usr/bin/env python3
"""The clients of docs/clients against a server that is killed and started again at random moments.

    clients.py --binary giftledger --scratch DIR [--seed 7] [--kills 12] [--gifts 300] [--only python,go]

Each client runs as three processes, all at once: one appends commands one by one, one in bulks, one follows the feed,
and is itself killed now and then. Afterwards it is proved from outside, without them, that every command was taken exactly
once, and that each follower had every event, in the order of its subject. Python's standard library only.
"""

import argparse
import atexit
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

from served import Served, ended, wait_until

CLIENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "clients")
PRICE, TOP_UP, USERS, BULK = 10, 1_000_000, 5, 10
PATIENCE_S = 300
PLATFORM = f"""
[entity]
currency = "CNY"
zone = "Asia/Shanghai"
coins_per_unit = 100

[[item]]
item = "rose"
price = {PRICE}
"""


def built(scratch):
    """How each client is run, as far as its language is here."""
    source = {name: os.path.join(CLIENTS, name) for name in os.listdir(CLIENTS)}
    runs = {"python": [sys.executable, source["giftledger.py"]]}
    if shutil.which("node"):
        runs["node"] = ["node", source["giftledger.mjs"]]
    if shutil.which("php"):
        runs["php"] = ["php", source["giftledger.php"]]
    if shutil.which("go"):
        binary = os.path.join(scratch, "client-go")
        subprocess.run(["go", "build", "-o", binary, source["giftledger.go"]], check=True)
        runs["go"] = [binary]
    if shutil.which("javac"):
        subprocess.run(["javac", "-d", scratch, source["Giftledger.java"]], check=True)
        runs["java"] = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", scratch, "Giftledger"]
    return runs


def top_up(user):
    paid = {"currency": "CNY", "amount": "10000.00"}
    return {"id": "t", "top_up": {"user": user, "channel": "test", "transaction": user, "coins": TOP_UP, "paid": paid}}


def gift(user, n):
    return {"id": f"g-{n}", "gift": {"user": user, "item": "rose", "to": [{"streamer": f"s{n % 7}"}]}}


class Follower:
    """A client that follows, is killed, and goes on from the cursor that it stored."""

    def __init__(self, run, url, scratch, name):
        self.command = [*run, url, "follow", os.path.join(scratch, f"{name}.cursor")]
        self.events, self.errors = os.path.join(scratch, f"{name}.events"), os.path.join(scratch, f"{name}.errors")
        self.starts = 0
        self.process = None
        atexit.register(ended, self)

    def start(self):
        with open(self.events, "ab") as events, open(self.errors, "ab") as errors:
            # Whoever was killed may have written half a line.
            events.write(b"\n")
            events.flush()
            self.process = subprocess.Popen(self.command, stdout=events, stderr=errors)
        self.starts += 1

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def seen(self):
        """Every event that it printed, with repetitions."""
        with open(self.events, encoding="utf-8") as events:
            for line in events:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                yield event["shard"], int(event["sequence"]), event["subject"]


def run_to_end(run, url, what, commands, answers, faults, name):
    """Gives all commands to a client, and keeps what it answers."""
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    try:
        ran = subprocess.run([*run, url, what], input=lines, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        faults.append(f"{name} {what} hangs: it was ended after {PATIENCE_S} s")
        return
    if ran.returncode != 0:
        faults.append(f"{name} {what} ended with {ran.returncode}: {ran.stderr[-1_000:]}")
    answers[name, what] = [json.loads(line) for line in ran.stdout.splitlines() if line]


def feed(served):
    """All events, read in one go by nobody's client."""
    lines = [json.loads(line) for line in served.ask("GET", "/v1/events")[2].splitlines()]
    assert lines[-1]["end"], "the feed breaks off"
    return lines[:-1]


def check_commands(served, events, asked, answers, faults):
    """Answers, balances, and the feed: each id once."""
    counted = collections.Counter(
        (event["subject"], event["data"]["id"]) for event in events if event["type"] == "giftledger.gift_given"
    )
    for (name, what), commands in asked.items():
        got = answers.get((name, what), [])
        if [answer.get("id") for answer in got] != [command["id"] for command in commands]:
            faults.append(f"{name} {what}: {len(got)} answers to {len(commands)} commands, or in another order")
        states = collections.Counter(answer.get("state") for answer in got)
        if set(states) != {"taken"}:
            faults.append(f"{name} {what}: {dict(states)}")
        gifts = collections.Counter(command["gift"]["user"] for command in commands if "gift" in command)
        for user, count in gifts.items():
            balance = json.loads(served.ask("GET", f"/v1/users/{user}")[2])["balance"]
            if balance != str(TOP_UP - count * PRICE):
                faults.append(f"{name} {what}: {user} has {balance} after {count} gifts")
        for command in commands:
            if "gift" in command and counted.pop((f"user:{command['gift']['user']}", command["id"]), 0) != 1:
                faults.append(f"{name} {what}: {command} was not given once")
    if counted:
        faults.append(f"gifts that nobody sent: {counted}")


def check_final(served, runs, faults):
    """What is final is not asked for again, and what a token does not allow is said at once."""
    commands = [gift("python-append-0", 0), gift("nobody", 1), {"id": "m", "gift": {"user": "nobody", "price": 1}}]
    commands[0]["gift"]["item"] = "another"
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    for name, run in runs.items():
        for what in ("append", "bulk"):
            ran = subprocess.run([*run, served.url, what], input=lines, capture_output=True, text=True, timeout=20, check=False)
            states = [json.loads(line)["state"] for line in ran.stdout.splitlines() if line]
            if states != ["conflict", "refused", "malformed"]:
                faults.append(f"{name} {what}: {states}, not conflict, refused, malformed: {ran.stderr[-500:]}")
    served.run("token", "create", "--name", "somebody", "--role", "append")
    wait_until(lambda: served.ask("GET", "/v1/users/nobody")[0] == 401, 5)
    for name, run in runs.items():
        for what in ("append", "bulk"):
            ran = subprocess.run([*run, served.url, what], input=lines, capture_output=True, text=True, timeout=20, check=False)
            if ran.returncode == 0 or "token_missing" not in ran.stderr + ran.stdout:
                faults.append(f"{name} {what} without a token: {ran.returncode}, {ran.stdout[-200:]}{ran.stderr[-300:]}")


def check_follower(name, follower, all_events, faults):
    seen, order, repeated = set(), collections.defaultdict(list), 0
    for shard, sequence, subject in follower.seen():
        if (shard, sequence) in seen:
            repeated += 1
            continue
        seen.add((shard, sequence))
        order[subject].append(sequence)
    if seen != all_events:
        faults.append(f"{name} follow: {len(all_events - seen)} events missing, {len(seen - all_events)} too many")
    wrong = [subject for subject, sequences in order.items() if sequences != sorted(sequences)]
    if wrong:
        faults.append(f"{name} follow: out of order for {wrong[:5]}")
    return repeated


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--gifts", type=int, default=600, help="that each client sends one by one; in bulks ten times as many")
    parser.add_argument("--only", help="clients, divided by commas")
    arguments = parser.parse_args()
    os.makedirs(arguments.scratch, exist_ok=True)
    print(f"   seed {arguments.seed}")
    dice, faults = random.Random(arguments.seed), []
    runs = built(arguments.scratch)
    print(f"   clients: {', '.join(runs)}")
    if arguments.only:
        runs = {name: runs[name] for name in arguments.only.split(",")}
    served = Served(arguments.binary, os.path.join(arguments.scratch, "ledger"), os.path.join(arguments.scratch, "server.log"))
    served.start().publish(PLATFORM)

    asked, answers, threads, followers = {}, {}, [], {}
    for name, run in runs.items():
        followers[name] = Follower(run, served.url, arguments.scratch, name)
        followers[name].start()
        for what, count in (("append", arguments.gifts), ("bulk", arguments.gifts * BULK)):
            users = [f"{name}-{what}-{n}" for n in range(USERS)]
            commands = [top_up(user) for user in users] + [gift(users[n % USERS], n) for n in range(count)]
            asked[name, what] = commands
            thread = threading.Thread(target=run_to_end, args=(run, served.url, what, commands, answers, faults, name))
            threads.append(thread)
            thread.start()

    kills, begun = 0, time.monotonic()
    while any(thread.is_alive() for thread in threads):
        time.sleep(dice.uniform(0.05, 0.6))
        if kills < arguments.kills:
            served.kill()
            kills += 1
            time.sleep(dice.uniform(0, 0.3))
            served.start()
        if dice.random() < 0.3:
            followers[dice.choice(sorted(followers))].restart()
    took = time.monotonic() - begun
    events = feed(served)
    all_events = {(event["shard"], int(event["sequence"])) for event in events}
    for follower in followers.values():
        # Its last word may be a cursor without an event: what counts is what it has printed.
        wait_until(lambda: len({seen[:2] for seen in follower.seen()}) >= len(all_events), 60, 1)  # noqa: B023
        follower.process.kill()
        follower.process.wait()
    check_commands(served, events, asked, answers, faults)
    if "python" in runs:
        check_final(served, runs, faults)
    for name, follower in followers.items():
        repeated = check_follower(name, follower, all_events, faults)
        replayed = sum(answer.get("replayed", False) for what in ("append", "bulk") for answer in answers.get((name, what), []))
        print(f"   {name}: {replayed} answers were replayed, {repeated} events came again, {follower.starts} followers")
    if not served.stop():
        faults.append(f"the server did not end in order: {served.said()}")
    if served.run("verify").returncode != 0:
        faults.append("verify found something wrong")
    for fault in faults:
        print(f"   FAULT: {fault}")
    print(f"   {kills} kills in {took:.0f} s, {len(events)} events, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
