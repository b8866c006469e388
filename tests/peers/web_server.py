"""A web server for the tests: a login by cookie, redirects, errors, slowness, TLS, and jobs as Weaver has
them. Prints its port; ends with its standard input.

    web_server.py [CERTIFICATE KEY [AUTHORITY_OF_CLIENTS]]
"""

import json
import socketserver
import ssl
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

STARTED = time.monotonic()
LOCK = threading.Lock()
SEEN = {"total": 0, "now": 0, "most": 0, "headers": [], "bodies": []}
TRIES = {}
JOBS = {}
COOKIE = "session=let-me-in-3f2a"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="text/plain", **headers):
        if not isinstance(body, bytes):
            body, kind = json.dumps(body).encode(), "application/json"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if body:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status, title, detail):
        self.answer(status, {"title": title, "detail": detail, "status": status})

    @property
    def logged_in(self):
        return COOKIE in self.headers.get("Cookie", "")

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        with LOCK:
            SEEN["total"] += 1
            SEEN["now"] += 1
            SEEN["most"] = max(SEEN["most"], SEEN["now"])
        try:
            self.route(urlsplit(self.path))
        finally:
            with LOCK:
                SEEN["now"] -= 1

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def route(self, url):
        parts = [part for part in url.path.split("/") if part]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match [self.command, *parts]:
            case ["POST", "signin"]:
                given = json.loads(self.body)
                if (given.get("user_name"), given.get("password")) != ("ada", "open sesame"):
                    return self.problem(401, "Unauthorized", "wrong user or password")
                return self.answer(302, Location="/session", Set_Cookie=f"{COOKIE}; Path=/; HttpOnly")
            case ["GET", "session"]:
                return self.answer(200, {"authenticated": self.logged_in, "token": "tell-nobody"})
            case ["GET", "secret"]:
                if not self.logged_in:
                    return self.problem(403, "Forbidden", "log in first")
                return self.answer(200, b"the secret is out\n")
            case [_, "status", code]:
                return self.answer(int(code), b"as you like\n")
            case ["GET", "redirect", count]:
                left = int(count)
                to = f"/redirect/{left - 1}" if left > 1 else "/ok"
                return self.answer(302, Location=to)
            case [_, "ok"]:
                return self.answer(200, {"fine": True, "list": [1, {"deep": "value"}]})
            case [_, "echo"]:
                with LOCK:
                    SEEN["bodies"].append(self.body.decode())
                    SEEN["headers"].append(dict(self.headers))
                return self.answer(200, self.body)
            case ["GET", "slow", seconds]:
                time.sleep(float(seconds))
                return self.answer(200, b"at last\n")
            case ["GET", "flaky", name, fails]:
                with LOCK:
                    TRIES[name] = TRIES.get(name, 0) + 1
                    tries = TRIES[name]
                if tries <= int(fails):
                    return self.answer(503, b"not yet\n", Retry_After="0")
                return self.answer(200, f"try {tries}\n".encode())
            case ["GET", "ready"]:
                status = 200 if time.monotonic() - STARTED > float(query.get("after", 2)) else 503
                return self.answer(status, b"ready\n" if status == 200 else b"warming up\n")
            case ["GET", "big"]:
                return self.answer(200, b"0123456789abcdef" * 200_000)
            case ["GET", "binary"]:
                return self.answer(200, bytes(range(256)), "application/octet-stream")
            case ["GET", "broken"]:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"cut")
                self.close_connection = True
                return None
            case ["GET", "seen"]:
                with LOCK:
                    return self.answer(200, dict(SEEN))
            case [_, "weaver", *rest]:
                return self.weaver(rest, query)
        return self.problem(404, "Not Found", url.path)

    def weaver(self, parts, query):
        """As of Weaver: created, running with percentCompleted, nextPoll, logs, exceptions."""
        match [self.command, *parts]:
            case ["POST", "signin"]:
                return self.answer(200, {"code": 200}, Set_Cookie=f"{COOKIE}; Path=/")
            case ["POST", "providers", provider, "processes", process, "execution"]:
                if not self.logged_in:
                    return self.problem(401, "Unauthorized", "log in first")
                if self.headers.get("Prefer") != "respond-async":
                    return self.problem(400, "Bad Request", "ask for it asynchronously")
                inputs = json.loads(self.body)["inputs"]
                with LOCK:
                    name = f"job-{len(JOBS) + 1}"
                    JOBS[name] = {"looks": 0, "dismissed": False, "inputs": inputs}
                status = {"jobID": name, "status": "created", "location": f"/weaver/jobs/{name}"}
                return self.answer(201, status, Location=f"/weaver/jobs/{name}")
            case [_, "jobs", name, *rest] if name in JOBS:
                return self.job(JOBS[name], name, rest)
        return self.problem(404, "NoSuchJob", "/".join(parts))

    def job(self, job, name, rest):
        if job["dismissed"]:
            return self.problem(410, "JobDismissed", "it was dismissed before")
        if not self.logged_in:
            return self.problem(401, "Unauthorized", "log in first")
        kind = job["inputs"].get("ends")
        if self.command == "DELETE":
            job["dismissed"] = True
            return self.answer(200, {"jobID": name, "status": "dismissed"})
        last = job["looks"] >= 4
        match rest:
            case []:
                job["looks"] += 1
                looks = job["looks"]
                if looks == 2 and kind == "hiccup":
                    return self.answer(502, b"bad gateway")
                if kind == "never" or looks < 4:
                    word = "accepted" if looks < 2 else "running"
                    soon = datetime.now(timezone.utc) + timedelta(seconds=0.2)
                    return self.answer(200, {
                        "jobID": name, "status": word, "percentCompleted": min(looks, 3) * 25,
                        "message": f"step {min(looks, 3)}", "nextPoll": soon.isoformat(),
                    })
                word = {"failure": "failed", "dismissal": "dismissed"}.get(kind, "succeeded")
                return self.answer(200, {"jobID": name, "status": word, "message": f"it {word}"})
            case ["logs"]:
                return self.answer(200, [f"remote line {n}" for n in range(1, job["looks"] + 1)])
            case ["results"] if kind == "failure":
                return self.problem(400, "JobResultsFailed", "no results of a failed job")
            case ["results"] if last:
                return self.answer(200, {"answer": job["inputs"].get("x"), "list": [1, 2]})
            case ["results"]:
                return self.problem(404, "ResultNotReady", "wait for it")
            case ["exceptions"] if kind == "failure":
                return self.answer(200, [{"Code": "ValueError", "Text": "the reason of it all"}])
            case ["exceptions"]:
                return self.answer(200, [])
        return self.problem(404, "Not Found", "/".join(rest))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main(arguments):
    server = Server(("127.0.0.1", 0), Handler)
    if arguments:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments[0], arguments[1])
        if len(arguments) > 2:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(arguments[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    assert issubclass(Server, socketserver.ThreadingMixIn)
    main(sys.argv[1:])
