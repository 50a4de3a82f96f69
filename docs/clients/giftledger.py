"""A client of Giftledger's HTTP door. Python 3.11, standard library only. Copy it, change it.

One object may be used by several threads: every request has a connection of its own.
"""

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

FINAL = {"taken", "refused", "conflict", "malformed"}
# With these nothing is decided and nothing will be, however often one asks.
HOPELESS = {400, 401, 403, 404, 405, 410, 413, 415}
HOPELESS_CODES = {"not_allowed", "token_missing", "token_unknown", "token_expired", "token_replaced", "token_revoked"}
BULK_LINES, BULK_BYTES = 10_000, 16 << 20
# No answer, or half of one: what became of the command is not known.
BROKEN = (OSError, http.client.HTTPException, ValueError)


class Undecided(Exception):
    """No outcome in time: ask again later, with the same id. `answer` is the last that came, if one did."""

    def __init__(self, message, answer=None):
        super().__init__(message)
        self.answer = answer


class Denied(Exception):
    """The server will not do it: the token, the address, or the form of the request is wrong."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem = status, problem


class Client:
    def __init__(self, url, token=None, patience_s=300, timeout_s=60):
        self.url, self.token = url.rstrip("/"), token
        self.patience_s, self.timeout_s = patience_s, timeout_s

    def append(self, command):
        """The final answer to one command: look at its `state`. The id stays the same, so asking again is safe."""
        return self._until_decided(lambda: self._append_once(command))

    def bulk(self, commands):
        """The final answers to many commands, in their order. What has no outcome yet is sent again; what the token
        does not allow comes back as `undecided`, with its code."""
        answers, batch, size = [], [], 0
        for command in commands:
            line = json.dumps(command, separators=(",", ":")).encode()
            if batch and (len(batch) == BULK_LINES or size + len(line) > BULK_BYTES):
                answers += self._batch(batch)
                batch, size = [], 0
            batch.append(line)
            size += len(line) + 1
        return answers + (self._batch(batch) if batch else [])

    def follow(self, after="start", **filters):
        """Yields (event, cursor) for ever, from a cursor on. Do what the event asks for, THEN store the cursor, and give
        it as `after` the next time. An event may come twice: drop what (shard, sequence) says you had. Where the event
        is None nothing happened; store the cursor all the same."""
        waits = 0
        while True:
            try:
                for event, after in self._follow_once(after, filters):
                    waits = 0
                    yield event, after
            except BROKEN:
                pass  # go on behind the last whole event
            except _Later as later:
                time.sleep(later.seconds or 0)
            waits += 1
            time.sleep(_pause(waits))

    def get(self, path, **query):
        """One question, such as `get("/v1/users/u1")`."""
        with self._open(f"{path}?{urllib.parse.urlencode(query)}") as response:
            return json.load(response)

    def _append_once(self, command):
        body = json.dumps(command).encode()
        with self._open("/v1/commands", body, {"Content-Type": "application/json"}) as response:
            return json.load(response), response.headers.get("Retry-After")

    def _until_decided(self, ask):
        give_up, tries, last = time.monotonic() + self.patience_s, 0, None
        while True:
            seconds = None
            try:
                last, seconds = ask()
                if last.get("state") in FINAL:
                    return last
            except _Later as later:
                last, seconds = later.problem, later.seconds
            except BROKEN as error:
                last = {"detail": str(error)}
            tries += 1
            pause = float(seconds or _pause(tries))
            if time.monotonic() + pause > give_up:
                raise Undecided(f"no outcome after {tries} tries: {last}", last)
            time.sleep(pause)

    def _batch(self, lines):
        answers = [None] * len(lines)

        def ask():
            left = [n for n, answer in enumerate(answers) if answer is None]
            for n, answer in self._bulk_once([lines[n] for n in left]):
                if answer["state"] in FINAL or answer.get("code") in HOPELESS_CODES:
                    answers[left[n]] = answer
            return {"state": "undecided" if None in answers else "taken"}, None

        self._until_decided(ask)
        return answers

    def _bulk_once(self, lines):
        """Yields (index, answer) as far as answers come; what comes no further is asked for again."""
        body = b"\n".join(lines) + b"\n"
        try:
            with self._open("/v1/commands/bulk", body, {"Content-Type": "application/x-ndjson"}) as response:
                for text in response:
                    answer = json.loads(text)
                    if answer.get("end"):
                        return
                    yield answer["line"] - 1, answer
        except BROKEN:
            return

    def _follow_once(self, after, filters):
        query = urllib.parse.urlencode({"after": after, **filters})
        with self._open(f"/v1/events?{query}", headers={"Accept": "text/event-stream"}) as response:
            kind, data, cursor = "message", [], None
            for line in response:
                if not line.endswith(b"\n"):
                    return
                name, _, value = line.decode().rstrip("\r\n").partition(":")
                value = value.removeprefix(" ")
                if name == "id":
                    cursor = value
                elif name == "data":
                    data.append(value)
                elif name == "event":
                    kind = value
                elif not name and not value:
                    if kind == "end":
                        return
                    if cursor is not None:
                        yield json.loads("\n".join(data)) if data else None, cursor
                    kind, data, cursor = "message", [], None

    def _open(self, path, body=None, headers=None):
        request = urllib.request.Request(self.url + path, body, headers or {})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            try:
                problem = json.loads(text)
            except ValueError:
                problem = {"detail": text.decode(errors="replace")}
            if problem.get("state") in FINAL:
                return _Answered(text, error.headers)
            if error.code in HOPELESS:
                raise Denied(error.code, problem) from None
            raise _Later(problem, error.headers.get("Retry-After")) from None


class _Answered:
    """A final answer that is no 2xx."""

    def __init__(self, text, headers):
        self.text, self.headers = text, headers

    def read(self):
        return self.text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class _Later(Exception):
    def __init__(self, problem, seconds):
        super().__init__(problem.get("detail"))
        self.problem = problem
        self.seconds = float(seconds) if seconds and seconds.isdigit() else None


def _pause(tries):
    """0.1 s, then doubled up to 10 s, each between half and all of it, so that many clients do not come at once."""
    return min(10, 0.1 * 2 ** min(tries - 1, 10)) * random.uniform(0.5, 1)


def main():
    """giftledger.py URL append|bulk < LINES, or giftledger.py URL follow CURSOR_FILE: a command, an answer, an event a line."""
    url, what, *rest = sys.argv[1:]
    client = Client(url)
    if what == "append":
        for line in sys.stdin:
            print(json.dumps(client.append(json.loads(line))), flush=True)
    elif what == "bulk":
        for answer in client.bulk(json.loads(line) for line in sys.stdin):
            print(json.dumps(answer))
    elif what == "follow":
        try:
            with open(rest[0], encoding="ascii") as stored:
                after = stored.read() or "start"
        except FileNotFoundError:
            after = "start"
        # Seldom enough that the disk keeps up: what came behind the last stored cursor comes again.
        for count, (event, cursor) in enumerate(client.follow(after), 1):
            if event:
                print(json.dumps(event), flush=True)
            if not event or count % 100 == 0:
                with open(rest[0] + ".new", "w", encoding="ascii") as stored:
                    stored.write(cursor)
                os.replace(rest[0] + ".new", rest[0])


if __name__ == "__main__":
    main()
