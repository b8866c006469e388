#!/usr/bin/env python3
"""Writes the expectations of tests/compose anew, from docker compose 2.40.3.

    scripts/golden.py [TOPIC...]    every topic of tests/compose, or only these

Each case of `TOPIC.txt` is laid out at /srv/roadstead-golden/CASE (paths enter the hashes, so the
place is fixed) and given to the oracle: `config --format json`, `config --hash '*'`, and `create`
against a small stand-in for the Docker Engine that notes the labels. What comes back is written to
`TOPIC.oracle.txt`; tests/compose/README.md describes both files. Needs Python 3.9, nothing else.
"""

import concurrent.futures
import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "compose"
BASE = pathlib.Path("/srv/roadstead-golden")
HOME = "/home/someone"
KINDS = {"services": "service", "networks": "network", "volumes": "volume", "secrets": "secret",
         "configs": "config", "models": "model"}
LABEL = "com.docker.compose."


class Case:
    """One case of a topic: files, variables and arguments."""

    def __init__(self, name, lines):
        self.name = name
        self.variables = {}
        self.arguments = []
        self.files = {}
        while lines and (not lines[0] or lines[0].startswith(("$ ", "# "))):
            if lines[0].startswith("$ "):
                self.ask(shlex.split(lines[0][2:]))
            lines = lines[1:]
        current, escaped, text = "compose.yml", False, []
        for line in [*lines, "-- --"]:
            marker = re.fullmatch(r"-- (.*?)( escaped)? ?--", line)
            if not marker:
                text.append(line)
                continue
            while text and not text[-1]:
                text.pop()
            if text or current != "compose.yml":
                content = "".join(line + "\n" for line in text)
                self.files[current] = decoded(content) if escaped else content
            current, escaped, text = marker[1], bool(marker[2]), []

    def ask(self, words):
        while words and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[0]):
            key, value = words.pop(0).split("=", 1)
            self.variables[key] = value
        self.arguments = words

    def lay_out(self):
        directory = BASE / self.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for name, text in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        return directory


def decoded(text):
    """Text with `\\r`, `\\t`, `\\n`, `\\\\`, `\\uXXXX` decoded; `\\c` at the end drops the line feed."""
    def one(match):
        word = match[1]
        plain = {"r": "\r", "t": "\t", "n": "\n", "\\": "\\", "c\n": ""}
        return plain[word] if word in plain else chr(int(word[1:], 16))
    return re.sub(r"\\(c\n|u[0-9a-fA-F]{4}|[rtn\\])", one, text)


def read_topic(path):
    cases, name, lines = [], None, []
    for line in [*path.read_text().split("\n"), "== =="]:
        marker = re.fullmatch(r"== ([a-z0-9_]*) ?==", line)
        if not marker:
            lines.append(line)
            continue
        if name:
            cases.append(Case(name, lines))
        name, lines = marker[1], []
    return cases


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """As much of the Engine as `docker-compose create` asks for; notes what it is told to create."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, path, project):
        super().__init__(path, Stand)
        self.external = {kind: {value.get("name") for value in (project.get(kind) or {}).values()
                                if value.get("external")} for kind in ("networks", "volumes")}
        self.lock = threading.Lock()
        self.made = {"services": {}, "networks": {}, "volumes": {}}
        self.objects = {}
        self.unknown = []

    def handle_error(self, *_):
        """The client may hang up as soon as one thing fails: that is in its own words already."""


class Stand(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def address_string(self):
        return ""

    def answer(self, status, body):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.51")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            raw = b""
            while size := int(self.rfile.readline(), 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(re.sub(r"^/v1\.\d+", "", url.path))
        query = urllib.parse.parse_qs(url.query)
        body = json.loads(raw) if raw[:1] == b"{" else {}
        with self.server.lock:
            self.answer(*self.respond(path, query, body))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_any

    def respond(self, path, query, body):
        engine, command = self.server, self.command
        if path == "/_ping":
            return 200, "OK"
        if path == "/version":
            return 200, {"Version": "28.5.0", "ApiVersion": "1.51", "MinAPIVersion": "1.24",
                         "Os": "linux", "Arch": "amd64"}
        if path == "/info":
            return 200, {"OSType": "linux", "Architecture": "x86_64", "Driver": "overlay2",
                         "Swarm": {"LocalNodeState": "inactive"}, "Runtimes": {}}
        if match := re.fullmatch(r"/images/(.+)/json", path):
            return 200, {"Id": "sha256:" + "1" * 64, "RepoTags": [match[1]], "Os": "linux",
                         "Architecture": "amd64", "Config": {"Labels": None}, "Size": 1}
        if path == "/images/create":
            return 200, None
        if path == "/images/json":
            return 200, []
        if path == "/containers/create":
            return self.container(query["name"][0], body)
        if path == "/containers/json":
            return 200, []
        if path in ("/networks", "/networks/"):
            return 200, []
        if path == "/networks/create":
            return self.network(body)
        if path == "/volumes/create":
            return self.volume(body)
        if path == "/volumes":
            return 200, {"Volumes": []}
        if match := re.fullmatch(r"/(containers|networks|volumes)/([^/]+)(/json)?", path):
            return self.inspect(match[1], match[2])
        if re.fullmatch(r"/networks/[^/]+/(connect|disconnect)", path):
            return 200, None
        engine.unknown.append(f"{command} {path}")
        return 404, {"message": "no such thing"}

    def container(self, name, body):
        labels = body.get("Labels") or {}
        made = self.server.made["services"]
        made[labels[LABEL + "service"]] = labels[LABEL + "config-hash"]
        identity = f"{len(made):064x}"
        # The name of a network is all that is asked for afterwards.
        networks = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        value = {"Id": identity, "Name": "/" + name, "Config": body, "State": {"Status": "created"},
                 "Image": "sha256:" + "1" * 64, "HostConfig": body.get("HostConfig") or {}, "Mounts": [],
                 "NetworkSettings": {"Networks": networks}, "Created": "2024-01-01T00:00:00Z"}
        self.server.objects["containers", name] = self.server.objects["containers", identity] = value
        return 201, {"Id": identity, "Warnings": []}

    def network(self, body):
        labels = body.get("Labels") or {}
        self.server.made["networks"][labels[LABEL + "network"]] = labels[LABEL + "config-hash"]
        identity = f"{len(self.server.made['networks']):064x}"
        value = {"Id": identity, "Name": body["Name"], "Labels": labels, "Driver": "bridge", "Scope": "local"}
        self.server.objects["networks", body["Name"]] = self.server.objects["networks", identity] = value
        return 201, {"Id": identity}

    def volume(self, body):
        labels = body.get("Labels") or {}
        self.server.made["volumes"][labels[LABEL + "volume"]] = labels[LABEL + "config-hash"]
        value = {"Name": body["Name"], "Driver": "local", "Labels": labels, "Scope": "local", "Mountpoint": "/m"}
        self.server.objects["volumes", body["Name"]] = value
        return 201, value

    def inspect(self, kind, name):
        if (kind, name) in self.server.objects:
            return 200, self.server.objects[kind, name]
        if name in self.server.external.get(kind, ()):
            return 200, {"Name": name, "Id": "f" * 64, "Scope": "local", "Driver": "bridge"}
        return 404, {"message": f"No such {kind[:-1]}: {name}"}


class Oracle:
    """docker compose 2.40.3."""

    def __init__(self):
        found = subprocess.run([ROOT / "scripts" / "oracle.sh"], check=True, capture_output=True, text=True)
        self.program = found.stdout.split()[-1]

    def run(self, case, directory, *words, **variables):
        environment = {"HOME": HOME, **case.variables, **variables}
        return subprocess.run([self.program, *case.arguments, *words], cwd=directory, env=environment,
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    def labels(self, case, directory, project):
        """The hashes in the labels, by kind and name, and why there are none."""
        with tempfile.TemporaryDirectory() as home:
            socket = os.path.join(home, "s")
            engine = Engine(socket, project)
            thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                words = ["create", "--no-build", "--pull", "never", "-y", "--force-recreate"]
                ran = self.run(case, directory, *words, DOCKER_HOST="unix://" + socket)
            finally:
                engine.shutdown()
                thread.join()
                engine.server_close()
        why = ran.stderr.strip().split("\n")[-1] if ran.returncode else ""
        if engine.unknown:
            why += " " + " ".join(engine.unknown)
        return engine.made, why


def message(text):
    """The last line that is an error, without the time and the level."""
    lines = [line for line in text.strip().splitlines() if "level=warning" not in line]
    if lines[:1] and lines[0].startswith("panic:"):
        lines = lines[:1]
    return " ".join(" ".join(lines).split())


def names_a_container(service):
    """Whether ids of other containers enter the label: they differ from run to run."""
    modes = [service.get(key) or "" for key in ("network_mode", "ipc", "pid", "uts", "cgroup")]
    return any(mode.startswith("service:") for mode in modes) or "volumes_from" in service


def expectation(oracle, case):
    """What is written for a case, and a remark for the person who runs this."""
    directory = case.lay_out()
    config = oracle.run(case, directory, "config", "--format", "json")
    if config.returncode:
        return [f"refused: {message(config.stderr)}"], None
    project = json.loads(config.stdout)
    printed = oracle.run(case, directory, "config", "--hash", "*")
    hashes = dict(line.split(" ") for line in printed.stdout.splitlines())
    made, remark = oracle.labels(case, directory, project)
    lines = [f"name {project.pop('name')}"]
    unset = sorted(set(re.findall(r'The \\"([^"\\]+)\\" variable is not set', config.stderr)))
    lines += [f"unset {' '.join(unset)}"] if unset else []
    for key, values in project.items():
        if key not in KINDS:
            lines.append(f"{key} {compact(values)}")
            continue
        for name, value in values.items():
            digest = made.get(key, {}).get(name, "-")
            if key == "services":
                label, digest = digest, hashes.get(name, "-")
                if label not in ("-", digest) and not names_a_container(value):
                    digest = label
            lines.append(f"{KINDS[key]} {name} {digest} {compact(value)}")
    return lines, remark


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    wanted = sys.argv[1:]
    oracle = Oracle()
    topics = sorted(path for path in CASES.glob("*.txt") if "." not in path.stem)
    seen = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in topics:
            cases = read_topic(path)
            for case in cases:
                if other := seen.get(case.name):
                    sys.exit(f"golden: case `{case.name}` is in both {other} and {path.name}")
                seen[case.name] = path.name
            if wanted and path.stem not in wanted:
                continue
            text, accepted = "", 0
            for case, (lines, remark) in zip(cases, pool.map(lambda case: expectation(oracle, case), cases)):
                text += f"== {case.name} ==\n" + "".join(line + "\n" for line in lines)
                accepted += not lines[0].startswith("refused")
                if remark:
                    print(f"  {case.name}: not created: {remark}")
            path.with_name(path.stem + ".oracle.txt").write_text(text)
            print(f"{path.stem}: {accepted} accepted, {len(cases) - accepted} refused")


if __name__ == "__main__":
    main()
