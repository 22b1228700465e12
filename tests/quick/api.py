# SPDX-License-Identifier: Apache-2.0
"""The API of the native program (with the fake backend) against docs/openapi.json: each path, each
body by its schema, each answer; and some clients that a unit test can't be."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from bothylab import paths

PROGRAM = paths.out("test", "vmm", "bothy")
KERNEL = bytes(65536)  # a raw program
BEFORE = "The requested operation is not supported before starting the microVM."
AFTER = "The requested operation is not supported after starting the microVM."
BODY = "An error occurred when deserializing the json body of a request: "
UNKNOWN = "Invalid request method and/or path: "
METHODS = ("get", "put", "patch")

with open(os.path.join(paths.TOP, "docs/openapi.json"), encoding="utf-8") as file:
    SPEC = json.load(file)


class Connection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class VM:
    """A program that waits for InstanceStart, in a folder of its own."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="bothy-api-")
        self.socket = os.path.join(self.folder, "api")
        self.file("kernel", KERNEL)
        self.file("disk", bytes(1 << 20))
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [PROGRAM, "run", "--wait", "--name", "quick", "--api-socket", self.socket, "--serial",
             "none"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, BOTHY_RUN_DIR=os.path.join(self.folder, "run")))
        deadline = time.monotonic() + 20
        while not os.path.exists(self.socket):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)
        self.connection = Connection(self.socket)
        return self

    def __exit__(self, *_):
        self.connection.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def file(self, name, content):
        with open(os.path.join(self.folder, name), "wb") as out:
            out.write(content)

    def path(self, name):
        return os.path.join(self.folder, name)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and body; the body as JSON if it is."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        try:
            self.connection.request(method.upper(), path, data, headers or {})
            answer = self.connection.getresponse()
            content = answer.read()
        except OSError as error:
            raise AssertionError(f"{method} {path}: {error}; {self.said()}") from error
        if answer.getheader("Content-Type") == "application/json":
            content = json.loads(content)
        return answer.status, answer.headers, content

    def do(self, method, path, body):
        status, _, content = self.ask(method, path, body)
        assert status == 204 and content == b"", (method, path, body, status, content)

    def refused(self, method, path, body=None):
        status, _, content = self.ask(method, path, body)
        assert status == 400, (method, path, body, status, content)
        check(content, {"$ref": "#/components/schemas/Error"})
        return content["fault_message"]

    def start(self):
        self.do("put", "/boot-source", {"kernel_image_path": self.path("kernel"),
                                        "boot_args": "console=ttyAMA0"})
        self.do("put", "/actions", {"action_type": "InstanceStart"})


def resolve(schema):
    while "$ref" in schema:
        found = SPEC
        for part in schema["$ref"].lstrip("#/").split("/"):
            found = found[part]
        schema = found
    return schema


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
         "number": (int, float)}


def check(value, schema, where="answer"):
    """The value must be what the schema says (as far as our schemas say)."""
    schema = resolve(schema)
    assert isinstance(value, TYPES[schema["type"]]), (where, value, schema)
    assert schema["type"] in ("boolean", "object", "array", "string") or \
        not isinstance(value, bool), (where, value)
    assert value in schema.get("enum", [value]), (where, value, schema["enum"])
    assert schema["type"] != "string" or re.search(schema.get("pattern", ""), value), (where, value)
    for item in value if schema["type"] == "array" else []:
        check(item, schema["items"], where + "[]")
    if schema["type"] == "object":
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        assert set(schema.get("required", [])) <= set(value), (where, value)
        for key, item in value.items():
            assert key in known or rest, (where, key)
            if key in known or isinstance(rest, dict):
                check(item, known.get(key, rest), f"{where}.{key}")


def operations():
    """(method, path, operation) of all that is described, with an identifier in the path."""
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, re.sub(r"\{\w+\}", "x1", path), item[method]


# "x-lacking" marks what Firecracker has and Bothy refuses: an operation, or a key of a body.


def body_schema(operation):
    body = operation.get("requestBody")
    return resolve(body["content"]["application/json"]["schema"]) if body else None


def test_routes_are_the_described_ones():
    with open(os.path.join(paths.TOP, "vmm/api/routes.c"), encoding="utf-8") as source:
        table = re.findall(r'\{"([A-Z]+)", "(/[^"]*)", (\w+), (\w+),', source.read())
    described = {}
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            if method in item:
                when = {"before": "BEFORE", "after": "AFTER"}.get(item[method].get("x-when"))
                lacking = item[method].get("x-lacking", False)
                described[method.upper(), re.sub(r"\{\w+\}", "*", path)] = (when or "ALWAYS",
                                                                            lacking)
    routes = {(method, path): (when, run == "NULL") for method, path, when, run in table}
    assert routes == described, sorted(set(routes.items()) ^ set(described.items()))


def test_each_path_knows_its_methods():
    with VM() as vm:
        for path, item in SPEC["paths"].items():
            path = re.sub(r"\{\w+\}", "x1", path)
            for method in METHODS + ("delete", "post"):
                if method not in item:
                    body = None if method == "get" else {}
                    assert vm.refused(method, path, body).startswith(UNKNOWN), (method, path)
        assert vm.refused("get", "/snapshot").startswith(UNKNOWN)


def test_what_is_lacking_is_said():
    with VM() as vm:
        for method, path, operation in operations():
            if operation.get("x-lacking"):
                message = vm.refused(method, path, {} if method != "get" else None)
                assert message.startswith("The requested operation is not supported: Bothy has no")


def test_states():
    """What may be asked for only before, or only after the start."""
    with VM() as vm:
        for method, path, operation in operations():
            if operation.get("x-when") == "after":
                assert vm.refused(method, path, {} if method != "get" else None) == BEFORE
        vm.start()
        for method, path, operation in operations():
            if operation.get("x-when") == "before":
                assert vm.refused(method, path, {}) == AFTER
        assert vm.refused("put", "/actions", {"action_type": "InstanceStart"}) == AFTER


def wrong_values(schema):
    """Values that a property must not have."""
    schema = resolve(schema)
    wrong = [value for value in ("x", True, 7, 7.5, [], {}) if not isinstance(
        value, TYPES[schema["type"]]) or isinstance(value, bool) != (schema["type"] == "boolean")]
    if schema["type"] == "object":
        wrong += [{"unknown": 1}]
    if "enum" in schema:
        wrong += ["No such word"]
    if "minimum" in schema:
        wrong += [schema["minimum"] - 1]
    if "maximum" in schema:
        wrong += [schema["maximum"] + 1]
    return wrong


def valid_bodies(vm):
    """A good body for each request that may come before the start."""
    limit = {"bandwidth": {"size": 1000, "one_time_burst": 10, "refill_time": 100},
             "ops": {"size": 0, "refill_time": 0}}
    return {
        ("patch", "/machine-config"): {"mem_size_mib": 64},
        ("put", "/balloon"): {"amount_mib": 1, "deflate_on_oom": True,
                              "stats_polling_interval_s": 1, "free_page_reporting": True},
        ("put", "/boot-source"): {"kernel_image_path": vm.path("kernel"),
                                  "initrd_path": vm.path("kernel"), "boot_args": "quiet"},
        ("put", "/drives/x1"): {"drive_id": "x1", "path_on_host": vm.path("disk"),
                                "is_root_device": True, "is_read_only": False, "partuuid": "a-01",
                                "cache_type": "Unsafe", "io_engine": "Async", "direct": False,
                                "serial": "s", "rate_limiter": limit},
        ("put", "/entropy"): {},
        ("put", "/logger"): {"level": "Info", "log_path": vm.path("logged"), "show_level": True,
                             "show_log_origin": False},
        ("put", "/machine-config"): {"vcpu_count": 2, "mem_size_mib": 128, "smt": False,
                                     "track_dirty_pages": False, "cpu_template": "None",
                                     "huge_pages": "None"},
        ("put", "/metrics"): {"metrics_path": vm.path("metrics")},
        ("put", "/network-interfaces/x1"): {"iface_id": "x1", "host_dev_name": "tap9",
                                            "guest_mac": "06:00:ac:10:00:02", "mtu": 1400,
                                            "rx_rate_limiter": limit, "tx_rate_limiter": limit},
        ("put", "/serial"): {"serial_out_path": vm.path("serial")},
        ("put", "/vsock"): {"guest_cid": 3, "uds_path": vm.path("vsock")},
    }


def test_bodies_are_as_described():
    with VM() as vm:
        bodies = valid_bodies(vm)
        for method, path, operation in operations():
            if operation.get("x-when") != "before":
                continue
            schema, good = body_schema(operation), bodies.pop((method, path))
            check(good, schema, path)
            for key in schema.get("required", []):
                without = {name: value for name, value in good.items() if name != key}
                assert vm.refused(method, path, without) == f"{BODY}missing field `{key}`."
            for key, kind in schema["properties"].items():
                for value in wrong_values(kind):
                    message = vm.refused(method, path, dict(good, **{key: value}))
                    assert message.startswith(BODY) or "x-lacking" in kind, (path, key, message)
                if "x-lacking" in kind:
                    vm.refused(method, path, dict(good, **{key: TYPES[kind["type"]]()}))
            message = vm.refused(method, path, dict(good, unknown=1))
            assert message.startswith(BODY + "unknown field `unknown`, expected one of ")
            assert set(re.findall(r"`(\w+)`", message)[1:]) == set(schema["properties"]), message
            vm.do(method, path, good)
        assert not bodies, bodies


def test_words_are_as_described():
    """Each word of each enumeration is taken."""
    with VM() as vm:
        for word in body_schema(SPEC["paths"]["/machine-config"]["put"])["properties"][
                "huge_pages"]["enum"]:
            vm.do("patch", "/machine-config", {"huge_pages": word})
            assert vm.ask("get", "/machine-config")[2]["huge_pages"] == word
        for key in ("cache_type", "io_engine"):
            for word in SPEC["components"]["schemas"]["Drive"]["properties"][key]["enum"]:
                vm.do("put", "/drives/x1", {"drive_id": "x1", "is_root_device": False, key: word,
                                            "path_on_host": vm.path("disk")})
        message = vm.refused("put", "/actions", {"action_type": "?"})
        assert re.findall(r"`(\w+)`", message)[1:] == SPEC["components"]["schemas"]["Action"][
            "properties"]["action_type"]["enum"]


def check_answers(vm, skip=()):
    for method, path, operation in operations():
        if method == "get" and "200" in operation["responses"] and path not in skip:
            forms = operation["responses"]["200"]["content"]
            status, headers, content = vm.ask("get", path, headers={"Accept": "application/json"})
            assert status == 200, (path, status, content)
            assert headers["Content-Type"] == "application/json"
            check(content, forms["application/json"]["schema"], path)


def test_answers_are_as_described():
    with VM() as vm:
        bodies = valid_bodies(vm)
        check_answers(vm, ("/balloon", "/balloon/statistics"))
        for path in ("/machine-config", "/drives/x1", "/network-interfaces/x1", "/vsock",
                     "/balloon", "/metrics", "/boot-source"):
            vm.do("put", path, bodies["put", path])
        check_answers(vm, ("/balloon/statistics",))
        config = vm.ask("get", "/vm/config")[2]
        for key in ("balloon", "boot-source", "machine-config", "metrics", "vsock"):
            for name, value in bodies["put", "/" + key].items():
                if value != "None":
                    assert config[key][name] == value, (key, name, config)
        assert config["network-interfaces"][0]["guest_mac"] == "06:00:ac:10:00:02"


def test_a_vm_that_runs():
    """Under its jail: what the API does then may need no further system call."""
    with VM() as vm:
        vm.do("put", "/machine-config", {"vcpu_count": 2, "mem_size_mib": 64})
        vm.do("put", "/drives/x1", {"drive_id": "x1", "is_root_device": True,
                                    "path_on_host": vm.path("disk")})
        vm.do("put", "/metrics", {"metrics_path": vm.path("metrics")})
        vm.start()
        assert vm.ask("get", "/")[2]["state"] == "Running"
        check_answers(vm, ("/balloon", "/balloon/statistics"))
        limit = {"ops": {"size": 10, "refill_time": 10}}
        vm.do("patch", "/drives/x1", {"drive_id": "x1", "rate_limiter": limit})
        assert vm.ask("get", "/vm/config")[2]["drives"][0]["rate_limiter"]["ops"]["size"] == 10
        vm.file("disk2", bytes(2 << 20))
        vm.do("patch", "/drives/x1", {"drive_id": "x1", "path_on_host": vm.path("disk2")})
        assert vm.ask("get", "/vm/config")[2]["drives"][0]["path_on_host"] == vm.path("disk2")
        vm.refused("patch", "/drives/x1", {"drive_id": "x1", "path_on_host": vm.path("none")})
        assert "no drive x2" in vm.refused("patch", "/drives/x2", {"drive_id": "x2"})
        for state, shown in (("Paused", "Paused"), ("Resumed", "Running")):
            vm.do("patch", "/vm", {"state": state})
            assert vm.ask("get", "/")[2]["state"] == shown
        vm.do("put", "/actions", {"action_type": "SendCtrlAltDel"})
        vm.do("put", "/actions", {"action_type": "FlushMetrics"})
        with open(vm.path("metrics"), encoding="utf-8") as written:
            check_metrics(written.read())
        status, headers, content = vm.ask("get", "/metrics")
        assert status == 200
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        check_metrics(content.decode())
        vm.do("put", "/actions", {"action_type": "Stop"})
        assert vm.process.wait(20) == 0, vm.said()
        assert not os.path.exists(vm.socket)


def test_balloon_of_a_vm_that_runs():
    with VM() as vm:
        vm.do("put", "/balloon", {"amount_mib": 8, "deflate_on_oom": False,
                                  "stats_polling_interval_s": 1})
        vm.start()
        check_answers(vm)
        vm.do("patch", "/balloon", {"amount_mib": 4})
        assert vm.ask("get", "/balloon")[2]["amount_mib"] == 4
        vm.do("patch", "/balloon/statistics", {"stats_polling_interval_s": 2})
        assert vm.ask("get", "/balloon/statistics")[2]["target_mib"] == 4


SAMPLE = re.compile(r'^(\w+?)(_total|_bucket|_count|_sum)?(\{(\w+="(\\.|[^"\\\n])*",?)+\})? '
                    r'[-+]?[0-9.]+(e[-+]?\d+)?$')


def check_metrics(text):
    """The grammar of OpenMetrics, as far as we use it."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], lines[-3:]
    families, seen = {}, set()
    for line in lines[:-2]:
        word = line.split(" ", 3)
        if line.startswith("# TYPE "):
            family, kind = word[2], word[3]
            assert family not in families and re.fullmatch(r"bothy_[a-z0-9_]+", family), line
            families[family] = kind
        elif line.startswith("#"):
            assert word[1] in ("HELP", "UNIT") and word[2] == family, line
            assert word[1] == "HELP" or family.endswith("_" + word[3]), line
        else:
            name = line.split("{")[0].split(" ")[0]
            ends = {"counter": ["_total"], "gauge": [""],
                    "histogram": ["_bucket", "_count", "_sum"]}[kind]
            assert SAMPLE.match(line) and name in [family + end for end in ends], line
            key = line.rsplit(" ", 1)[0]
            assert key not in seen, line
            seen.add(key)
    assert families


def test_accept():
    with VM() as vm:
        assert vm.ask("get", "/metrics", headers={"Accept": "image/png"})[0] == 406
        kind = vm.ask("get", "/metrics", headers={"Accept": "text/plain"})[1]["Content-Type"]
        assert kind.startswith("text/plain"), kind


def test_curl_like_uploads():
    """Expect: 100-continue, chunks, and bodies that are too large."""
    with VM() as vm:
        head = b"PUT /machine-config HTTP/1.1\r\nHost: x\r\n"
        body = b'{"vcpu_count": 3, "mem_size_mib": 64}'
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(vm.socket)
            client.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" %
                           len(body))
            assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)
            assert client.recv(4096).startswith(b"HTTP/1.1 204 ")
            client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + body[:5] +
                           b"\r\n%x\r\n" % (len(body) - 5) + body[5:] + b"\r\n0\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 204 ")
        assert vm.ask("get", "/machine-config")[2]["vcpu_count"] == 3
        status, headers, _ = vm.ask("put", "/machine-config", b" " * 300000)
        assert status == 413 and headers["Connection"] == "close"
        assert vm.ask("get", "/")[0] == 200


def test_the_socket_of_another_vm_is_left_alone():
    with VM() as vm:
        second = subprocess.run(
            [PROGRAM, "run", "--wait", "--name", "second", "--api-socket", vm.socket],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False,
            env=dict(os.environ, BOTHY_RUN_DIR=vm.path("run")))
        assert second.returncode == 5, second
        assert f"another process listens at the API's socket {vm.socket}" in second.stderr, second
        assert vm.ask("get", "/")[0] == 200
        assert os.path.exists(vm.socket)


def test_idle_clients_hold_nobody_up():
    with VM() as vm:
        idle = []
        for _ in range(30):
            client = socket.socket(socket.AF_UNIX)
            client.connect(vm.socket)
            idle.append(client)
        for _ in range(20):
            client = Connection(vm.socket)
            client.request("GET", "/version")
            assert client.getresponse().status == 200
            client.close()
        for client in idle:
            client.close()
