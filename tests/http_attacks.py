#!/usr/bin/env python3
"""What strangers send to the HTTP door, over bare sockets: each case has the status and the code that must come back.

    http_attacks.py --binary giftledger --scratch DIR [--only WORD] [--connections 3000]

It starts a server of its own, and asks at the end whether that lives, stayed below MOST_MIB of memory and kept its
books right. Every answer of 5xx, every hang and every closed connection that is not in the table is a fault. Python's
standard library only.
"""

import argparse
import contextlib
import concurrent.futures
import json
import os
import re
import resource
import socket
import sys
import threading
import time

from served import Served, wait_until

# What was measured with all of the cases below, 290 MiB, and half of it again.
MOST_MIB = 440
PATIENCE_S = 20
PLATFORM = """
[entity]
currency = "CNY"
zone = "Asia/Shanghai"
coins_per_unit = 100

[[item]]
item = "rose"
price = 1
"""
JSON = "Content-Type: application/json"
NDJSON = "Content-Type: application/x-ndjson"


def grant(name, user="attacked", coins=1):
    return json.dumps({"id": name, "grant": {"user": user, "coins": coins, "reason": "test"}}, separators=(",", ":"))


class Wrong(Exception):
    """What came is not what must come."""


class Raw:
    """A connection on which anything can be sent."""

    def __init__(self, served, timeout_s=PATIENCE_S):
        self.socket = socket.create_connection(("127.0.0.1", served.port), timeout=timeout_s)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def send(self, data):
        """Sends it all, or as much as the server takes before it closes."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def answer(self):
        """Reads one answer: status, headers, body. None where the connection was closed without one."""
        try:
            first = self.file.readline()
            while first.startswith(b"HTTP/1.1 100"):
                self.file.readline()
                first = self.file.readline()
            if not first:
                return None
            headers = {}
            while (line := self.file.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
            return int(first.split()[1]), headers, self.body(headers)
        except ConnectionResetError:
            return None

    def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            whole = b""
            while size := int(self.file.readline() or b"0", 16):
                whole += self.file.read(size)
                self.file.readline()
            self.file.readline()
            return whole
        if "content-length" in headers:
            return self.file.read(int(headers["content-length"]))
        return self.file.read()


def request(line, *headers, body=b"", host="Host: localhost", length=True):
    body = body.encode() if isinstance(body, str) else body
    said = [line, *([host] if host else []), *headers]
    if length and (body or line.startswith(("POST", "PUT"))):
        said.append(f"Content-Length: {len(body)}")
    lines = [part if isinstance(part, bytes) else part.encode("latin-1") for part in said]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def command(body, *headers):
    return request("POST /v1/commands HTTP/1.1", *(headers or (JSON,)), body=body)


def bulk(body, *headers):
    return request("POST /v1/commands/bulk HTTP/1.1", *(headers or (NDJSON,)), body=body)


def get(path, *headers, **how):
    return request(f"GET {path} HTTP/1.1", *headers, **how)


def expect(answer, status, code=None, **fields):
    """Compares an answer with what must come, and gives its body back."""
    if answer is None:
        raise Wrong("the connection was closed without an answer")
    found, _, body = answer
    if found != status:
        raise Wrong(f"status {found}, not {status}: {body[:300]!r}")
    if code is None and not fields:
        return body
    said = json.loads(body)
    for name, wanted in (({"code": code} if code else {}) | fields).items():
        if said.get(name) != wanted:
            raise Wrong(f"{name} is {said.get(name)!r}, not {wanted!r}: {body[:300]!r}")
    return said


# Name, bytes, status (None: the connection is closed), code, and the path that a malformed command's answer must name. A
# code of None: what comes is no problem, or the HTTP library answers before the door sees the request.
def table(prepared):
    cut, deep = '{"id":"x","grant":{"user":"a"', "[" * 10_000_000
    expired, revoked, append = prepared["expired"], prepared["revoked"], prepared["append"]
    yield "no JSON", command("hello"), 400, "malformed"
    yield "JSON that breaks off", command(cut), 400, "malformed"
    yield "nothing", command(""), 400, "malformed"
    yield "a number", command("17"), 400, "malformed"
    yield "an array", command("[]"), 400, "malformed"
    yield "two objects", command(grant("a-1") + grant("a-2")), 400, "malformed"
    yield "JSON with a NUL", command(b'{"id":"a\0b"}'), 400, "malformed"
    yield "bytes that are no UTF-8", command(b'{"id":"\xff\xfe\xfd"}'), 400, "malformed"
    yield "an unpaired surrogate", command('{"id":"\\ud800","grant":{}}'), 400, "malformed"
    yield "the same key twice", command('{"id":"a","id":"b","grant":{"user":"a","coins":1,"reason":"x"}}'), 400, "malformed"
    yield "an unknown field", command('{"id":"a","grant":{"user":"a","coins":1,"reason":"x","colour":1}}'), 400, "malformed", "grant.colour"
    yield "an unknown field outside", command('{"id":"a","colour":1,"grant":{"user":"a","coins":1,"reason":"x"}}'), 400, "malformed", "colour"
    yield "an unknown field deep inside", command('{"id":"a","refund":{"order":{"user":"a","name":{"command":"b","colour":1}},"reason":"x"}}'), 400, "malformed", "refund.order.name.colour"
    yield "an unknown command", command('{"id":"a","steal":{}}'), 400, "malformed", "steal"
    yield "coins with a fraction", command('{"id":"a","grant":{"user":"a","coins":1.5,"reason":"x"}}'), 400, "malformed", "grant.coins"
    yield "coins below zero", command('{"id":"a","grant":{"user":"a","coins":-1,"reason":"x"}}'), 400, "malformed", "grant.coins"
    yield "coins of 400 digits", command('{"id":"a","grant":{"user":"a","coins":' + "9" * 400 + ',"reason":"x"}}'), 400, "malformed"
    yield "coins as a text", command('{"id":"a","grant":{"user":"a","coins":"1","reason":"x"}}'), 400, "malformed", "grant.coins"
    yield "a user with a slash", command('{"id":"a","grant":{"user":"../a","coins":1,"reason":"x"}}'), 400, "malformed", "grant.user"
    yield "an id of 201 bytes", command(grant("i" * 201)), 400, "malformed", "id"
    yield "no id", command('{"grant":{"user":"a","coins":1,"reason":"x"}}'), 400, "malformed", "id"
    yield "a group of 65", command(json.dumps({"id": "a", "group": [{"grant": {"user": "a", "coins": 1, "reason": "x"}}] * 65})), 400, "malformed", "group"
    yield "a group of none", command('{"id":"a","group":[]}'), 400, "malformed", "group"
    yield "a group in a group", command('{"id":"a","group":[{"group":[]}]}'), 400, "malformed", "group[0]"
    yield "10 million brackets", command(deep), 413, "body_too_large"
    yield "900,000 brackets", command(deep[:900_000]), 400, "malformed"
    yield "900,000 nested objects", command('{"a":' * 180_000), 400, "malformed"
    yield "UTF-16, little-endian", command(grant("u-1").encode("utf-16")), 415, "unsupported_media_type"
    yield "UTF-16, big-endian, no mark", command(grant("u-1").encode("utf-16-be")), 415, "unsupported_media_type"
    yield "UTF-32", command(grant("u-1").encode("utf-32")), 415, "unsupported_media_type"
    yield "a byte-order mark", command(b"\xef\xbb\xbf" + grant("bom-1").encode()), 200, None
    yield "only a byte-order mark", command(b"\xef\xbb\xbf"), 400, "malformed"
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/x-ndjson", "json", ";;;", "application/jsonx"):
        yield f"one command as {media_type}", command(grant("m-1"), f"Content-Type: {media_type}"), 415, "unsupported_media_type"
    yield "no content type", request("POST /v1/commands HTTP/1.1", body=grant("m-1")), 415, "unsupported_media_type"
    yield "a content type with a charset", command(grant("m-2"), JSON + "; charset=UTF-8"), 200, None
    yield "a content type with another charset", command(grant("m-3"), JSON + "; charset=gbk"), 415, "unsupported_media_type"
    yield "a bulk as JSON", bulk(grant("m-1"), JSON), 415, "unsupported_media_type"
    yield "a bulk in UTF-16", bulk(grant("m-1").encode("utf-16")), 415, "unsupported_media_type"
    yield "a platform file as JSON that is TOML", request("POST /v1/reference HTTP/1.1", JSON, body=PLATFORM), 400, "malformed"
    yield "a platform file of garbage", request("POST /v1/reference HTTP/1.1", "Content-Type: application/toml", body=b"\xff[[["), 400, "malformed"
    yield "a platform file with an unknown key", request("POST /v1/reference HTTP/1.1", "Content-Type: application/toml", body='[entity]\ncolour = "red"'), 400, "malformed"
    yield "a platform file of brackets", request("POST /v1/reference HTTP/1.1", "Content-Type: application/toml", body="a = " + deep[:1_000_000]), 400, "malformed"
    yield "a platform file of brackets, JSON", request("POST /v1/reference HTTP/1.1", JSON, body=deep[:1_000_000]), 400, "malformed"
    yield "a platform file with another's question", request("POST /v1/reference?colour=red HTTP/1.1", JSON, body="{}"), 400, "bad_query"
    for method, path in (("GET", "/v1/commands"), ("DELETE", "/v1/commands/bulk"), ("PUT", "/v1/commands"), ("POST", "/v1/events"), ("PATCH", "/v1/users/u"), ("TRACE", "/v1/status"), ("BREW", "/v1/status")):
        yield f"{method} {path}", request(f"{method} {path} HTTP/1.1"), 405, "method_not_allowed"
    yield "OPTIONS", request("OPTIONS /v1/commands HTTP/1.1"), 405, "method_not_allowed"
    yield "CONNECT", request("CONNECT evil.example:443 HTTP/1.1"), 404, "not_found"
    for path in ("/", "/v2/commands", "/v1", "/v1/", "/v1/commands/", "/v1//commands", "/v1/users/", "/v1/users/a/b/c", "/../../etc/passwd", "/v1/%2e%2e/%2e%2e/etc/passwd", "/v1/commands%00"):
        yield f"GET {path}", get(path), 404, "not_found"
    yield "a path that dots climb", get("/v1/users/%2e%2e%2fetc"), 400, "bad_query"
    yield "a path with a NUL", get("/v1/users/a%00b"), 400, "bad_query"
    yield "a path that is no UTF-8", get("/v1/users/%ff%fe"), 400, "bad_query"
    yield "a bare NUL in the path", get("/v1/users/a\0b"), 400, None
    yield "bare bytes in the path", get("/v1/users/\xff\xfe"), 400, None
    yield "a space in the path", get("/v1/users/a b"), 400, None
    yield "a query with a NUL", get("/v1/find?q=%00"), 404, "not_found"
    yield "a query that is no UTF-8", get("/v1/find?q=%ff"), 404, "not_found"
    yield "a query of percents", get("/v1/find?q=%%%"), 404, "not_found"
    yield "an unknown field of a query", get("/v1/users/u?colour=red"), 400, "bad_query"
    yield "a field twice", get("/v1/users/u?as_of=2026-01-01&as_of=2026-01-02"), 400, "bad_query"
    yield "another user in the query", get("/v1/users/u?user=v"), 400, "bad_query"
    yield "a position that is none", get("/v1/users/u?wait_for=here"), 400, "bad_position"
    yield "a position of no shard", get("/v1/users/u?wait_for=99999-1"), 400, "bad_position"
    yield "a position far ahead", get("/v1/users/u?wait_for=0-9007199254740990"), 503, "view_behind"
    yield "a moment that is none", get("/v1/users/u?as_of=yesterday"), 400, "bad_query"
    yield "a moment before time", get("/v1/users/u?as_of=0001-01-01T00:00:00Z"), 400, "bad_query"
    yield "an order that is none", get("/v1/orders/1-1-1"), 400, "bad_query"
    yield "an order that is not there", get("/v1/orders/1-999999"), 404, "not_found"
    yield "a record that is not there", get("/v1/records/1-999999"), 404, "not_found"
    yield "a month that is none", get("/v1/settlements/2026-13"), 400, "bad_query"
    yield "a limit of all", get("/v1/orders?limit=99999999999999999999"), 400, "bad_query"
    yield "an outcome of nobody", get("/v1/outcomes"), 400, "bad_query"
    yield "an outcome that is not known", get("/v1/outcomes?subject=user:a&id=never"), 404, "not_found"
    yield "an outcome of a subject that is none", get("/v1/outcomes?subject=a&id=b"), 400, "bad_query"
    yield "a cursor that is none", get("/v1/events?after=AAAA"), 400, "bad_cursor"
    yield "a cursor of 100,000 letters", get("/v1/events?after=" + "A" * 15_000), 400, "bad_cursor"
    yield "a cursor of another ledger", get("/v1/events?after=" + prepared["foreign_cursor"]), 410, "other_lineage"
    yield "a limit of none", get("/v1/events?limit=0"), 400, "bad_query"
    yield "an event of no kind", get("/v1/events?kind=earthquake"), 400, "bad_query"
    yield "a ticket that is none", get("/v1/events?ticket=x"), 401, "ticket_unknown"
    yield "a token that is none", get("/v1/users/u", "Authorization: Bearer gl_nonsense"), 401, "token_unknown"
    yield "a token of another kind", get("/v1/users/u", "Authorization: Basic YTpi"), 401, "token_unknown"
    yield "a token of nothing", get("/v1/users/u", "Authorization:"), 401, "token_unknown"
    yield "a token with bytes", get("/v1/users/u", "Authorization: Bearer \xff\xfe"), 401, "token_unknown"
    yield "a token of 8,000 letters", get("/v1/users/u", "Authorization: Bearer gl_" + "a" * 8_000), 401, "token_unknown"
    yield "a token that has expired", get("/v1/users/u", f"Authorization: Bearer {expired}"), 401, "token_expired"
    yield "a token that was revoked", get("/v1/users/u", f"Authorization: Bearer {revoked}"), 401, "token_revoked"
    yield "a token of another role", get("/v1/users/u", f"Authorization: Bearer {append}"), 403, "not_allowed"
    yield "a command of another role", command(grant("r-1"), JSON, f"Authorization: Bearer {append}"), 403, "not_allowed"
    yield "a head of 1 MB", get("/healthz", "X-Long: " + "a" * 1_000_000), 431, None
    yield "a header of 100 KiB", get("/healthz", "X-Long: " + "a" * 100_000), 431, None
    yield "1,000 headers", get("/healthz", *(f"X-{n}: 1" for n in range(1_000))), 431, None
    yield "a path of 70,000 letters", get("/" + "a" * 70_000), 431, None
    yield "a header with a NUL", get("/healthz", "X-Nul: a\0b"), 400, None
    yield "a header with bytes", get("/healthz", "X-Bytes: \xff\xfe"), 200, None
    yield "a header without a colon", get("/healthz", "nonsense"), 400, None
    yield "a header that is folded", get("/healthz", "X-Folded: a\r\n b"), 400, None
    yield "a request id with bytes", get("/healthz", "X-Request-Id: \xff"), 200, None
    yield "an Idempotency-Key that differs", command(grant("k-1"), JSON, "Idempotency-Key: k-2"), 400, "bad_request"
    yield "an Idempotency-Key with bytes", command(grant("k-1"), JSON, "Idempotency-Key: \xff"), 400, "bad_request"
    yield "an Idempotency-Key of 201 letters", command(grant("k-1"), JSON, "Idempotency-Key: " + "k" * 201), 400, "bad_request"
    yield "a source of the ledger's own", command(grant("s-1"), JSON, "giftledger-source: driver"), 400, "bad_request"
    yield "a source with a slash", command(grant("s-1"), JSON, "giftledger-source: a/b"), 400, "bad_request"
    yield "a foreign Host", get("/v1/users/u", host="Host: evil.example"), 403, "foreign_host"
    yield "a Host that begins as ours", get("/v1/users/u", host="Host: 127.0.0.1.evil.example"), 403, "foreign_host"
    yield "a foreign Origin", get("/v1/users/u", "Origin: https://evil.example"), 403, "foreign_host"
    yield "the Origin null", get("/v1/users/u", "Origin: null"), 403, "foreign_host"
    yield "no Host", get("/v1/users/u", host=None), 200, None
    yield "HTTP/1.0", request("GET /v1/users/u HTTP/1.0"), 200, None
    yield "HTTP/0.9", b"GET /healthz\r\n\r\n", 400, None
    yield "HTTP/3.7", request("GET /healthz HTTP/3.7"), 400, None
    yield "HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None, None
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500, 400, None
    yield "two lengths", request("POST /v1/commands HTTP/1.1", JSON, "Content-Length: 5", "Content-Length: 6", body="hello", length=False), 400, None
    yield "a length below zero", request("POST /v1/commands HTTP/1.1", JSON, "Content-Length: -5", length=False), 400, None
    yield "a length and chunks", request("POST /v1/commands HTTP/1.1", JSON, "Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n", length=False), 400, None
    yield "chunks that are none", request("POST /v1/commands HTTP/1.1", JSON, "Transfer-Encoding: chunked", body="zz\r\nhello\r\n", length=False), 400, "bad_request"
    yield "a body in gzip", command(b"\x1f\x8b\x08\x00", JSON, "Content-Encoding: gzip"), 415, "unsupported_media_type"
    yield "two Hosts", get("/v1/users/u", "Host: evil.example"), 400, None
    yield "two Idempotency-Keys", command(grant("k-1"), JSON, "Idempotency-Key: k-1", "Idempotency-Key: k-2"), 400, "bad_request"
    yield "a bulk without lines", bulk(""), 200, None
    yield "a bulk in another order", request("POST /v1/commands/bulk?order=random HTTP/1.1", NDJSON), 400, "bad_query"
    yield "a body of 100,000 chunks", request("POST /v1/commands HTTP/1.1", JSON, "Transfer-Encoding: chunked", body=b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n", length=False), 400, "malformed"
    yield "a chunk of 2^72", request("POST /v1/commands HTTP/1.1", JSON, "Transfer-Encoding: chunked", body="f" * 18 + "\r\n{}\r\n0\r\n\r\n", length=False), 400, "bad_request"
    yield "an upgrade to a web socket", get("/v1/users/u", "Connection: Upgrade", "Upgrade: websocket"), 200, None
    yield "100 MB that are announced", request("POST /v1/commands HTTP/1.1", JSON, "Content-Length: 100000000", length=False), 413, "body_too_large"
    yield "a bulk of 100 MB that are announced", request("POST /v1/commands/bulk HTTP/1.1", NDJSON, "Content-Length: 100000000", length=False), 413, "body_too_large"
    yield "a length of 2^70", request("POST /v1/commands HTTP/1.1", JSON, f"Content-Length: {2 ** 70}", length=False), 400, None


def try_case(served, data, status, code, path):
    with Raw(served) as raw:
        raw.send(data)
        if status is None:
            if (answer := raw.answer()) is not None:
                raise Wrong(f"it is answered: {answer}")
            return
        expect(raw.answer(), status, code, **({"path": path} if path else {}))


# Cases with a story of their own: each takes the server and what was prepared, and raises what is wrong.


def bulk_lines(answer):
    body = expect(answer, 200)
    lines = [json.loads(line) for line in body.splitlines()]
    if not lines or not lines[-1].get("end"):
        raise Wrong(f"the answers of a bulk have no end: {body[-200:]!r}")
    return lines[:-1], lines[-1]


def half_a_bulk(served, _):
    """Whole lines only are recorded; what became of them is found by their ids."""
    lines = [grant(f"half-{n}", "halved") for n in range(50)]
    whole, cut = "\n".join(lines[:40]) + "\n", lines[40][:30]
    with Raw(served) as raw:
        raw.send(request("POST /v1/commands/bulk HTTP/1.1", NDJSON, "Content-Length: 100000", body=whole + cut, length=False))
        time.sleep(0.5)

    def outcome(n):
        return served.ask("GET", f"/v1/outcomes?subject=user:halved&id=half-{n}")

    if not wait_until(lambda: outcome(39)[0] == 200, 10):
        raise Wrong(f"the last whole line is not there: {outcome(39)}")
    for n in range(50):
        status, _, body = outcome(n)
        if (status == 200) != (n < 40) or (n < 40 and json.loads(body)["state"] != "taken"):
            raise Wrong(f"line {n}: {status} {body!r}")


def sends_before_it_reads(served, _):
    """30 MB in, nothing read until all is sent."""
    filler = "x" * 190
    lines = [json.dumps({"id": f"w-{n}-{filler}"[:200], "grant": {"user": f"w{n % 100}", "coins": 1, "reason": filler}}) for n in range(62_000)]
    body = "\n".join(lines)
    with Raw(served, 60) as raw:
        if not raw.send(bulk(body)):
            raise Wrong("it was not read to its end")
        time.sleep(1)
        answers, end = bulk_lines(raw.answer())
    if end["taken"] != len(lines) or [line["line"] for line in answers] != list(range(1, len(lines) + 1)):
        raise Wrong(f"{len(body)} bytes: {end}")


def chunked(pieces):
    for piece in pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def a_body_of_100_mb(served, _):
    """Announced to nobody: it comes in chunks."""
    with Raw(served) as raw:
        raw.send(request("POST /v1/commands HTTP/1.1", JSON, "Transfer-Encoding: chunked", length=False))
        for piece in chunked([b" " * 1_000_000] * 100):
            if not raw.send(piece):
                break
        expect(raw.answer(), 413, "body_too_large")


def send_100_mb(raw):
    """As a bulk that says nothing of its length, or as much of it as the server takes."""
    line = (grant("again", "large") + " " * 900).encode() + b"\n"
    raw.send(request("POST /v1/commands/bulk HTTP/1.1", NDJSON, "Transfer-Encoding: chunked", length=False))
    for piece in chunked([line * 1_000] * 100):
        if not raw.send(piece):
            break


def a_bulk_of_100_mb(served, _):
    with Raw(served) as raw:
        sending = threading.Thread(target=send_100_mb, args=(raw,))
        sending.start()
        _, end = bulk_lines(raw.answer())
        sending.join()
    if end.get("cut", {}).get("code") != "body_too_large" or end["taken"] != end["lines"]:
        raise Wrong(f"{end}")


def a_bulk_of_100_mb_sent_before_it_reads(served, _):
    with Raw(served, 8) as raw:
        begun = time.monotonic()
        send_100_mb(raw)
        if time.monotonic() > begun + 7:
            raise Wrong("it neither reads on nor closes the connection")
        _, end = bulk_lines(raw.answer())
    if end.get("cut", {}).get("code") != "body_too_large" or end["taken"] != end["lines"]:
        raise Wrong(f"{end}")


def too_many_lines(served, _):
    with Raw(served, 60) as raw:
        raw.send(bulk("{}\n" * 100_001))
        answers, end = bulk_lines(raw.answer())
    if end.get("cut", {}).get("code") != "too_many_lines" or len(answers) != 100_000:
        raise Wrong(f"{end}")


def long_lines(served, _):
    """One of 2 MB, one of 10 million brackets, one with NULs: their neighbours are taken."""
    long = grant("long", "longed")[:-2] + "," + " " * 2_000_000 + '"x":1}}'
    lines = [grant("before", "longed"), long, "[" * 10_000_000, '{"id":"a\0b"}', "\ufeff{}", grant("behind", "longed")]
    with Raw(served) as raw:
        raw.send(bulk("\r\n".join(lines)))
        answers, end = bulk_lines(raw.answer())
    states = [answer["state"] for answer in answers]
    if states != ["taken", *["malformed"] * 4, "taken"] or end["malformed"] != 4:
        raise Wrong(f"{states} {end}")
    if answers[1].get("id") != "long":
        raise Wrong(f"the id of the long line is not said: {answers[1]}")


def slow_head(served, _):
    """A letter a second: after 15 s the connection is closed."""
    begun = time.monotonic()
    with Raw(served, 40) as raw:
        for letter in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaa":
            if not raw.send(bytes([letter])) or time.monotonic() > begun + 30:
                break
            time.sleep(1)
        answer = raw.answer()
    took = time.monotonic() - begun
    if not 14 < took < 22 or (answer and answer[0] != 408):
        raise Wrong(f"after {took:.0f} s: {answer}")


def silent(served, _):
    begun = time.monotonic()
    with Raw(served, 40) as raw:
        answer = raw.answer()
    took = time.monotonic() - begun
    if not 14 < took < 22 or (answer and answer[0] != 408):
        raise Wrong(f"after {took:.0f} s: {answer}")


def slow_body(served, _):
    """A letter a second of one command: its body must be there after 30 s."""
    begun = time.monotonic()
    with Raw(served, 60) as raw:
        raw.send(request("POST /v1/commands HTTP/1.1", JSON, "Content-Length: 1000", length=False))
        raw.socket.settimeout(1)
        while time.monotonic() < begun + 50:
            raw.send(b" ")
            try:
                if raw.socket.recv(1, socket.MSG_PEEK) is not None:
                    break
            except TimeoutError:
                pass
        raw.socket.settimeout(10)
        took = time.monotonic() - begun
        expect(raw.answer(), 408, "body_timeout")
    if not 29 < took < 40:
        raise Wrong(f"after {took:.0f} s")


def slow_bulk(served, _):
    """A bulk that stops in the middle: what came is recorded, and the last line says that the rest was not looked at."""
    begun = time.monotonic()
    with Raw(served, 60) as raw:
        raw.send(request("POST /v1/commands/bulk HTTP/1.1", NDJSON, "Content-Length: 1000", body=grant("stalled", "stalled") + "\n", length=False))
        try:
            answer = raw.answer()
        except ValueError:
            answer = "cut"
    took = time.monotonic() - begun
    if not 29 < took < 40:
        raise Wrong(f"after {took:.0f} s: {answer}")
    if answer not in (None, "cut") and b'"end":true' in answer[2] and b'"cut":{"code":"body_timeout"' not in answer[2]:
        raise Wrong(f"it says that it was whole: {answer}")
    status, _, body = served.ask("GET", "/v1/outcomes?subject=user:stalled&id=stalled")
    if status != 200:
        raise Wrong(f"the line that came: {status} {body!r}")


def pipelined(served, _):
    """Twenty requests in one piece: twenty answers, in their order."""
    asked = [command(grant(f"p-{n}", "piped")) if n % 2 else get(f"/v1/users/p{n}") for n in range(20)]
    with Raw(served) as raw:
        raw.send(b"".join(asked))
        for n in range(20):
            said = json.loads(expect(raw.answer(), 200))
            if said.get("id" if n % 2 else "user") != (f"p-{n}" if n % 2 else f"p{n}"):
                raise Wrong(f"answer {n}: {said}")


def expects_100(served, _):
    body = grant("e-1").encode()
    with Raw(served) as raw:
        raw.send(request("POST /v1/commands HTTP/1.1", JSON, "Expect: 100-continue", f"Content-Length: {len(body)}", length=False))
        said = raw.file.readline()
        if not said.startswith(b"HTTP/1.1 100"):
            raise Wrong(f"it did not say go on: {said!r}")
        raw.file.readline()
        raw.send(body)
        expect(raw.answer(), 200)


def expects_100_of_too_much(served, _):
    """Refused before anything is sent."""
    with Raw(served) as raw:
        raw.send(request("POST /v1/commands HTTP/1.1", JSON, "Expect: 100-continue", "Content-Length: 100000000", length=False))
        first = raw.file.readline()
        if b" 413 " not in first:
            raise Wrong(f"it said {first!r}")


def http_1_0_closes(served, _):
    with Raw(served) as raw:
        raw.send(request("GET /v1/events HTTP/1.0"))
        _, headers, body = raw.answer()
        if "chunked" in headers.get("transfer-encoding", "") or b'"end":true' not in body:
            raise Wrong(f"{headers} {body[-100:]!r}")


def smuggled(served, _):
    """What follows a refused request is not read as one of its own, if the refusal left bytes unread."""
    hidden = command(grant("smuggled", "smuggled"))
    with Raw(served) as raw:
        raw.send(command(hidden, "Content-Type: text/plain"))
        expect(raw.answer(), 415, "unsupported_media_type")
        raw.send(get("/healthz"))
        answer = raw.answer()
        if answer is not None and answer[2] != b"ok\n":
            raise Wrong(f"{answer}")
    status, _, body = served.ask("GET", "/v1/outcomes?subject=user:smuggled&id=smuggled")
    if status != 404:
        raise Wrong(f"{status} {body!r}")


def not_modified(served, _):
    """What never changes is not sent again to whoever has it."""
    tag = served.ask("GET", "/v1/records/1-1")[1]["ETag"]
    status = served.ask("GET", "/v1/records/1-1", headers={"If-None-Match": tag})[0]
    if status != 304:
        raise Wrong(f"status {status}, not 304")


def all_in_one_answer(served, _, path="/v1/records?limit=1000000000"):
    """One question does not make the server hold the whole log: an answer of a list has an end."""
    body = served.ask("GET", path)[2]
    if len(body) > 8 << 20:
        raise Wrong(f"{path} is answered with {len(body) >> 20} MiB")


def the_whole_history(served, prepared):
    all_in_one_answer(served, prepared, "/v1/accounts/platform:grants/history")


def asks_for_a_token(served, prepared):
    """401 says how to prove who one is, as RFC 9110 demands."""
    status, headers, _ = prepared["closed_door"].ask("GET", "/v1/users/u")
    if status != 401 or "bearer" not in headers.get("WWW-Authenticate", "").lower():
        raise Wrong(f"status {status}, WWW-Authenticate {headers.get('WWW-Authenticate')!r}")


def a_burst_of_connections(served, _):
    """A thousand clients that come back at once, as after a restart, are let in without the kernel's second of waiting."""
    with contextlib.ExitStack() as open_ones:
        slowest = 0
        for _ in range(1_000):
            begun = time.monotonic()
            open_ones.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=5))
            slowest = max(slowest, time.monotonic() - begun)
    if slowest > 0.9:
        raise Wrong(f"one waited for {slowest:.2f} s")


def many_followers(served, _):
    """4,096 follow, whoever comes behind them is told so, and nobody else notices."""
    with contextlib.ExitStack() as followers:
        for n in range(4_100):
            raw = followers.enter_context(Raw(served))
            raw.send(get("/v1/events?follow=true&user=followed"))
        first = raw.file.readline()
        if b" 429 " not in first:
            raise Wrong(f"the last one is told {first!r}")
        status, _, body = served.ask("POST", "/v1/commands", grant(f"followed-{n}", "followed"), {"Content-Type": "application/json"}, 5)
        if status != 200:
            raise Wrong(f"{status} {body!r}")


def reads_nothing(served, _):
    """Followers that never read do not hold anybody up."""
    raws = [Raw(served) for _ in range(50)]
    try:
        for raw in raws:
            raw.send(get("/v1/events?follow=true"))
        time.sleep(1)
        status, _, body = served.ask("POST", "/v1/commands", grant("beside"), {"Content-Type": "application/json"}, 5)
        if status != 200:
            raise Wrong(f"{status} {body!r}")
    finally:
        for raw in raws:
            raw.__exit__()


def idle_connections(served, prepared):
    """A normal client beside thousands that say nothing."""
    count = prepared["connections"]
    idle = []
    try:
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", served.port), timeout=5))
        begun = time.monotonic()
        for n in range(20):
            status, _, body = served.ask("POST", "/v1/commands", grant(f"idle-{n}"), {"Content-Type": "application/json"}, 5)
            if status != 200:
                raise Wrong(f"{status} {body!r}")
        prepared["note"](f"{count} idle connections: 20 commands beside them took {time.monotonic() - begun:.2f} s")
    finally:
        for one in idle:
            one.close()


# Faults of the door that are known and not mended yet: they are said, and fail nothing.
KNOWN = {
    "two Hosts": "RFC 9112 demands 400; the first one counts",
    "two Idempotency-Keys": "the first one counts",
    "the_whole_history": "a history has no pages, and the answer is made in memory",
    "a path that is no UTF-8": "the answer is plain text, no problem with a code",
    "a_bulk_of_100_mb_sent_before_it_reads": "beyond 32 MiB nothing is read any more, so that both sides wait for each other",
}

AT_ONCE = [silent, slow_head, slow_body, slow_bulk]
STORIES = [
    half_a_bulk, sends_before_it_reads, a_body_of_100_mb, a_bulk_of_100_mb,
    a_bulk_of_100_mb_sent_before_it_reads, too_many_lines, long_lines, pipelined, expects_100,
    expects_100_of_too_much, http_1_0_closes, smuggled, not_modified, asks_for_a_token, all_in_one_answer,
    the_whole_history, reads_nothing, many_followers, a_burst_of_connections, idle_connections,
]  # fmt: skip


def foreign_cursor(binary, scratch):
    other = Served(binary, os.path.join(scratch, "other"), os.path.join(scratch, "other.log")).start()
    cursor = json.loads(other.ask("GET", "/v1/events")[2].splitlines()[-1])["cursor"]
    other.stop()
    return cursor


def tokens(served):
    """Made in a folder that needs them, so that the server that is attacked asks for none of whoever brings none."""
    made = {}
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    for name, more in (("expired", ["--expires", soon]), ("revoked", []), ("append", [])):
        ran = served.run("token", "create", "--name", name, "--role", "append", "--json", *more)
        if ran.returncode != 0:
            raise SystemExit(f"token create: {ran.stderr}")
        made[name] = json.loads(ran.stdout)["token"]
    served.run("token", "revoke", "revoked")
    time.sleep(3)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--connections", type=int, default=3_000)
    arguments = parser.parse_args()
    os.makedirs(arguments.scratch, exist_ok=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    faults, count = [], 0

    def judge(name, attack, *with_what):
        nonlocal count
        if arguments.only not in name:
            return
        count += 1
        try:
            attack(*with_what)
            if name in KNOWN:
                print(f"   no fault any more? take it out of KNOWN: {name}")
        except (Wrong, OSError, ValueError, TypeError, IndexError) as error:
            if name in KNOWN:
                print(f"   known fault: {name}: {KNOWN[name]}")
            else:
                faults.append(f"{name}: {type(error).__name__}: {error}")

    prepared = {
        "connections": min(arguments.connections, most - 500),
        "foreign_cursor": foreign_cursor(arguments.binary, arguments.scratch),
        "note": lambda said: print(f"   {said}"),
    }
    open_door = Served(arguments.binary, os.path.join(arguments.scratch, "open"), os.path.join(arguments.scratch, "open.log"))
    closed_door = Served(arguments.binary, os.path.join(arguments.scratch, "closed"), os.path.join(arguments.scratch, "closed.log"))
    open_door.start().publish(PLATFORM)
    closed_door.start()
    prepared |= tokens(closed_door) | {"closed_door": closed_door}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = [pool.submit(judge, attack.__name__, attack, open_door, prepared) for attack in AT_ONCE]
        for name, data, status, code, *path in table(prepared):
            needs_tokens = name.startswith("a token") or name.startswith("a command of another role")
            judge(name, try_case, closed_door if needs_tokens else open_door, data, status, code, path[0] if path else None)
        for attack in STORIES:
            judge(attack.__name__, attack, open_door, prepared)
        for attack in slow:
            attack.result()
    for served in (open_door, closed_door):
        lived = served.lives()
        now, most_mib = served.memory_mib() if lived else (0, 0)
        print(f"   memory: {now} MiB now, {most_mib} MiB at most")
        if not lived or not served.stop():
            faults.append(f"the server ended by itself, or not in order:\n{served.said()}")
        if most_mib > MOST_MIB:
            faults.append(f"the server had {most_mib} MiB; {MOST_MIB} MiB are the bound")
        verified = served.run("verify")
        if verified.returncode != 0:
            faults.append(f"verify: {verified.stdout}{verified.stderr}")
        if re.search(r"panicked|ERROR", served.said()):
            faults.append(f"the server's log: {served.said()}")
    for fault in faults:
        print(f"   FAULT: {fault}")
    print(f"   {count} cases, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
