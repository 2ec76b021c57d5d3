"""A stand-in for AWS's APIs: serves an estate over the real wire protocols.

Every request's signature is checked. It pages, throttles, fails, hangs and forges on command:

  GET  /standin/calls    what was called, as JSON: [{operation, parameters, region, agent}, ...]
  POST /standin/orders   [{"operation": "ecs:ListTasks" or "*", "do": WHAT, "times": N, ...}, ...]
                         WHAT: throttle, fail (status 500), deny, expire, hang (seconds), huge, truncate,
                         garbage, doctype, endless (pages without end), skew (its clock: seconds), empty

Run: python3 -B -m localfleet.cloud.server --estate FILE --listen ADDRESS:PORT [--latency SECONDS]
[--page ITEMS] [--tls CERTIFICATE KEY] [--control SOCKET]. The file is read again when it changes. Calls
that change something (changes.py) go to the local fleet whose control socket it is.
"""

import argparse
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote

from .changes import CHANGES
from .deployments import OPERATIONS as DEPLOYING
from .operations import OPERATIONS, page
from .sigv4 import Refused, verify
from .wire import PROTOCOLS

TARGETS = {"AmazonEC2ContainerServiceV20141113": "ecs", "Route53AutoNaming_v20170314": "servicediscovery",
           "Route53Resolver": "route53resolver", "Logs_20140328": "logs", "CodeDeploy_20141006": "codedeploy",
           "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101": "cloudtrail"}
VERSIONS = {"2016-11-15": "ec2", "2015-12-01": "elasticloadbalancing", "2011-06-15": "sts",
            "2010-03-31": "sns", "2010-08-01": "monitoring"}
ROUTES = [(re.compile(r"/2013-04-01/hostedzonesbyvpc$"), "ListHostedZonesByVPC"),
          (re.compile(r"/2013-04-01/hostedzone/(?P<Id>[^/]+)/rrset$"), "ListResourceRecordSets")]
UNSIGNED = {("sts", "AssumeRoleWithWebIdentity")}
BODY_MAX = 1 << 20
HUGE = 40 << 20


class Request:
    """As it came."""

    def __init__(self, handler, body):
        self.method = handler.command
        self.path, _, self.query = handler.path.partition("?")
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        self.body = body


def structure(pairs):
    """EC2's and ELB's a.1.b=c as lists and members."""
    root = {}
    for name, value in pairs:
        at = root
        parts = name.split(".")
        for part in parts[:-1]:
            at = at.setdefault(part, {})
        at[parts[-1]] = value

    def listed(value):
        if not isinstance(value, dict):
            return value
        if set(value) == {"member"}:
            return listed(value["member"])
        if value and all(key.isdigit() for key in value):
            return [listed(value[key]) for key in sorted(value, key=int)]
        return {key: listed(inner) for key, inner in value.items()}
    return {key: listed(value) for key, value in root.items()}


def parse(request):
    """(service, operation, parameters)."""
    target = request.headers.get("x-amz-target")
    if target:
        prefix, _, operation = target.rpartition(".")
        if request.headers.get("content-type") != "application/x-amz-json-1.1":
            raise Refused("SerializationException", "JSON 1.1 is expected")
        return TARGETS.get(prefix, prefix), operation, json.loads(request.body or b"{}")
    for pattern, operation in ROUTES:
        match = pattern.match(unquote(request.path))
        if match and request.method == "GET":
            return "route53", operation, {**dict(parse_qsl(request.query)), **match.groupdict()}
    parameters = structure(parse_qsl(request.body.decode(), keep_blank_values=True))
    service = VERSIONS.get(parameters.pop("Version", ""))
    if not service:
        raise Refused("InvalidAction", "no such service, or version")
    return service, parameters.pop("Action", ""), parameters


class Standin(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, options):
        super().__init__(address, Handler)
        self.options = options
        self.lock = threading.Lock()
        self.calls, self.orders, self.skew = [], [], 0
        self.read_at, self.known = None, {}

    def handle_error(self, request, client_address):
        """A caller that hangs up is no error of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def estate(self):
        with self.lock:
            changed = os.stat(self.options.estate).st_mtime_ns
            if changed != self.read_at:
                with open(self.options.estate, encoding="utf-8") as file:
                    self.known = json.load(file)
                self.read_at = changed
            return self.known

    def order_for(self, name):
        with self.lock:
            for order in self.orders:
                if order["operation"] in ("*", name) and order.get("times", 1) > 0:
                    order["times"] = order.get("times", 1) - 1
                    return order
        return None

    def note(self, **call):
        with self.lock:
            self.calls.append(call)

    def now(self):
        return datetime.now(timezone.utc) + timedelta(seconds=self.skew)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write an answer

    def log_message(self, *_):
        pass

    def body(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            raise Refused("RequestEntityTooLarge", "the body is too large")
        return self.rfile.read(length)

    def send(self, status, content_type, text, headers=()):
        data = text if isinstance(text, bytes) else text.encode()
        self.send_response_only(status)
        self.send_header("Date", format_datetime(self.server.now(), usegmt=True))
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, service, refused, status=400):
        protocol = PROTOCOLS.get(service, PROTOCOLS["ecs"])
        status = {"AccessDeniedException": 400, "UnauthorizedOperation": 403, "AccessDenied": 403}.get(refused.code, status)
        headers = [("x-amzn-errortype", refused.code)] if protocol is PROTOCOLS["ecs"] else []
        self.send(status, protocol.content_type, protocol.error(refused.code, refused.text), headers)

    def do_GET(self):
        if self.path == "/standin/calls":
            with self.server.lock:
                text = json.dumps(self.server.calls)
            self.send(200, "application/json", text)
        else:
            self.handle_call()

    def do_POST(self):
        if self.path == "/standin/orders":
            orders = json.loads(self.body())
            with self.server.lock:
                self.server.orders = [order for order in orders if order["do"] != "skew"]
                self.server.skew = sum(order["seconds"] for order in orders if order["do"] == "skew")
                self.server.calls = []
            self.send(200, "application/json", "{}")
        else:
            self.handle_call()

    def handle_call(self):
        request, service = Request(self, self.body()), "ecs"
        try:
            service, operation, parameters = parse(request)
            is_change = (service, operation) in CHANGES or (service, operation) in DEPLOYING
            if (service, operation) not in OPERATIONS and not is_change:
                raise Refused("UnknownOperationException", f"{service}:{operation}")
            estate, region, access = self.server.estate(), "", ""
            if (service, operation) not in UNSIGNED:
                access, region, _ = verify(request, estate["keys"], [service], self.server.now())
            self.server.note(operation=f"{service}:{operation}", parameters=parameters, region=region,
                             agent=request.headers.get("user-agent", ""), method=request.method, path=self.path,
                             headers=request.headers, body=request.body.decode())
            if is_change and not self.is_denied(f"{service}:{operation}", estate):
                self.change(service, operation, parameters, estate["keys"][access].get("user", "somebody"))
            elif not is_change:
                self.answer(service, operation, parameters, estate)
        except Refused as refused:
            self.server.note(operation=f"{service}:refused", parameters={"code": refused.code}, region="",
                             agent=request.headers.get("user-agent", ""))
            self.refuse(service, refused)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def is_denied(self, name, estate):
        if name in estate.get("denied", ()):
            raise Refused("AccessDeniedException", f"User is not authorized to perform: {name}")
        order = self.server.order_for(name)
        if order and order["do"] == "fail":
            raise Refused("InternalFailure", "It is not you, it is us.")
        if order and order["do"] == "hang":
            time.sleep(order.get("seconds", 3600))
        return False

    def answer(self, service, operation, parameters, estate):
        name = f"{service}:{operation}"
        protocol = PROTOCOLS[service]
        time.sleep(self.server.options.latency)
        order = self.server.order_for(name)
        if name in estate.get("denied", ()):
            order = {"do": "deny"}
        if order and order["do"] in ("throttle", "fail", "deny", "expire", "hang"):
            if self.misbehave(service, name, order):
                return
        function, key, default, largest = OPERATIONS[service, operation]
        answer = function(estate, parameters)
        if key:
            answer = page(service, answer, key, parameters, default, largest, self.server.options.page)
        if order and order["do"] == "endless" and key:
            answer["nextToken" if service in ("ecs", "ec2") else "NextToken"] = "page-0"
        self.send(200, protocol.content_type, forge(protocol.answer(operation, answer), order))

    def change(self, service, operation, parameters, user):
        """Where a local fleet runs behind it, its lab makes the change; else there is nothing to be changed."""
        if not self.server.options.control:
            raise Refused("UnsupportedOperation", "this estate stays as it is")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.server.options.control)
            with client.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(["call", service, operation, json.dumps(parameters), user]) + "\n")
                stream.flush()
                reply = json.loads(stream.readline())
        if "error" in reply:
            raise Refused("InternalFailure", reply["error"])
        result = json.loads(reply["ok"])
        if "code" in result:
            raise Refused(result["code"], result["text"])
        protocol = PROTOCOLS[service]
        self.send(200, protocol.content_type, protocol.answer(operation, result["answer"]))

    def misbehave(self, service, name, order):
        """True: that was the answer."""
        if order["do"] == "hang":
            time.sleep(order.get("seconds", 3600))
            return False
        if order["do"] == "fail":
            self.refuse(service, Refused("InternalFailure", "It is not you, it is us."), order.get("status", 500))
        elif order["do"] == "throttle":
            code = "RequestLimitExceeded" if service == "ec2" else "ThrottlingException"
            self.refuse(service, Refused(code, "Rate exceeded"), 503 if service == "ec2" else 400)
        elif order["do"] == "expire":
            self.refuse(service, Refused("ExpiredTokenException", "The security token included in the request is expired"))
        else:
            code = {"ec2": "UnauthorizedOperation", "elasticloadbalancing": "AccessDenied",
                    "route53": "AccessDenied"}.get(service, "AccessDeniedException")
            self.refuse(service, Refused(code, f"User: arn:aws:sts::123456789012:assumed-role/canreach/x is not "
                                         f"authorized to perform: {name}"))
        return True


def forge(text, order):
    """An answer that no service should give."""
    what = order["do"] if order else None
    if what == "truncate":
        return text[:len(text) // 2]
    if what == "garbage":
        return "\x00\xff<<<{{{" + text[:20]
    if what == "empty":
        return ""
    if what == "huge":
        return text.ljust(HUGE)
    if what == "doctype":
        head, _, body = text.partition("\n")
        return head + '\n<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + body
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estate", required=True)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--control")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--page", type=int, default=1000)
    parser.add_argument("--tls", nargs=2)
    options = parser.parse_args()
    address, port = options.listen.rsplit(":", 1)
    server = Standin((address, int(port)), options)
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"{server.server_address[0]}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
