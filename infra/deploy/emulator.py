"""MiniStack, an AWS on this machine: started on a free port of the loopback, ended with everything it started.

It runs our release binaries as Lambda functions behind its HTTP API. What it can't do with our template is changed
here, each change with its reason; nothing else differs from what goes to AWS.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import template
from say import stop

START_SECONDS = 60
ROOT_KEY = "test"
# So that a suite with hundreds of logins does not measure argon2, and is not taken for an attack.
CHEAP = {
    "ARGON2_MEMORY_KIB": "256",
    "ARGON2_ITERATIONS": "1",
    "LOGIN_ACCOUNT_LIMIT": "1000",
    "LOGIN_ADDRESS_LIMIT": "100000",
}
# Condition keys that it does not know; it takes a condition on one for one that does not hold. Nor does it put the
# values of policy variables in.
UNKNOWN_KEYS = ("kms:", "dynamodb:LeadingKeys")
VARIABLE = "${aws:"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Emulator:
    """A running MiniStack."""

    def __init__(self, auth):
        self.auth = auth
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="ministack-", dir=scratch()))
        self.process = None

    def __enter__(self):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "CARGO_TARGET_DIR") if name in os.environ}
        environment = {
            **kept,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "AWS_ENDPOINT_URL": self.url,
            "AUTH": "true" if self.auth else "false",
            # It would listen on every interface of the machine.
            "IOT_MTLS_ENABLED": "0",
            "TMPDIR": str(self.folder),
        }
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [template.ROOT / "infra/python", "ministack", "ministack"],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                stop(f"MiniStack does not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.2)
        if outside := self.listens_outside():
            stop(f"MiniStack listens beyond this machine: {outside}")
        return self

    def __exit__(self, kind, *_):
        # Its functions are processes of its group.
        os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=2) as answer:  # noqa: S310
                return answer.status == 200
        except OSError:
            return False

    def listens_outside(self):
        """Listening sockets of its processes that are not on the loopback, as the kernel lists them."""
        mine = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(folder.name)) != self.process.pid:
                    continue
                mine |= {os.readlink(file) for file in (folder / "fd").iterdir() if file.is_symlink()}
            except OSError:
                continue
        found = []
        for table, loopback in (("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                address = fields[1].split(":")[0]
                if fields[3] == "0A" and address != loopback and f"socket:[{fields[9]}]" in mine:
                    found.append(fields[1])
        return found

    def environment(self):
        """For AWS's clients: the emulator, as its root user."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def adapt(self, expanded):
        """The template as this emulator can take it, and what was changed, in words."""
        changed = []
        text = json.dumps(expanded)
        api = "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        text = text.replace(api, f"http://localhost:{self.port}/_aws/execute-api/${{HttpApi}}/$default")
        changed.append("the API's URL is the emulator's, without TLS")
        expanded = json.loads(text)
        for resource in expanded["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                resource["Properties"]["Environment"]["Variables"].update(CHEAP)
        changed.append(f"functions get {', '.join(CHEAP)}")
        # It rolls back a stack with an alarm on metric math.
        math = [name for name, one in expanded["Resources"].items() if "Metrics" in one.get("Properties", {})]
        for name in math:
            del expanded["Resources"][name]
        changed.append(f"alarms on metric math are left out: {', '.join(math)}")
        if self.auth:
            removed = sorted(drop_conditions(expanded["Resources"]))
            changed.append(f"conditions it does not evaluate are taken out: {', '.join(removed)}")
        return expanded, changed


def drop_conditions(node):
    """Takes the conditions that it can't evaluate out of every statement below; their keys."""
    removed = set()
    if isinstance(node, list):
        return removed.union(*[drop_conditions(one) for one in node])
    if not isinstance(node, dict):
        return removed
    condition = node.get("Condition")
    if "Effect" in node and isinstance(condition, dict):
        for operator, keys in list(condition.items()):
            for key in [key for key in keys if key.startswith(UNKNOWN_KEYS) or VARIABLE in json.dumps(keys[key])]:
                del keys[key]
                removed.add(key)
            if not keys:
                del condition[operator]
    return removed.union(*[drop_conditions(one) for one in node.values()])


def scratch():
    folder = template.ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "deploy-local"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Invoker:
    """Lambda's Invoke API without signatures, for the tests: it signs, and calls functions by their short names."""

    def __init__(self, account, stage):
        client = account.client("lambda", read_timeout=310)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                function = self.path.split("/")[3]
                payload = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = client.invoke(FunctionName=f"leasehold-{stage.name}-{function}", Payload=payload)
                body = answer["Payload"].read()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
