"""A server of a test's own: its folder, its port, its process, which is ended by its own id.

Python's standard library only.
"""

import atexit
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ended(one):
    """Nothing that a test has started outlives it, however the test ends."""
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()


class Served:
    """`giftledger serve` on one port for its whole life, so that it can be killed and started again there."""

    def __init__(self, binary, data, log, environment=None):
        self.binary, self.data, self.log = binary, data, log
        self.environment = {**os.environ, **(environment or {})}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        atexit.register(ended, self)

    def start(self, patience_s=30):
        arguments = [self.binary, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--json"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log, env=self.environment)
        giving_up = threading.Timer(patience_s, self.process.kill)
        giving_up.start()
        line = self.process.stdout.readline()
        giving_up.cancel()
        if not line or json.loads(line)["listening"] != self.url:
            self.process.kill()
            raise SystemExit(f"the server did not start on {self.url}: it said {line!r}\n{self.said()}")
        return self

    def kill(self):
        """As a crash does it."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In order; whether it ended so."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60) == 0
        except subprocess.TimeoutExpired:
            self.kill()
            return False

    def lives(self):
        return self.process.poll() is None

    def memory_mib(self):
        """What it has now and the most that it had, resident."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return tuple(int(fields[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-4_000:]

    def run(self, *arguments):
        """Another command of the binary on the same folder."""
        command = [self.binary, *arguments, "--data", self.data]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, env=self.environment, check=False)

    def ask(self, method, path, body=None, headers=None, timeout_s=60):
        """One request on a connection of its own: the status, the headers, the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def publish(self, platform, token=None):
        """Publishes a platform file, and says what was wrong with it."""
        headers = {"Content-Type": "application/toml"} | ({"Authorization": f"Bearer {token}"} if token else {})
        status, _, body = self.ask("POST", "/v1/reference", platform.encode(), headers)
        if status != 200:
            raise SystemExit(f"the platform file was not taken: {status} {body.decode()}")


def wait_until(is_so, patience_s, pause_s=0.05):
    """Whether something becomes so in time."""
    until = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(pause_s)
    return True
