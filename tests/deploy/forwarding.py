"""A kubectl of a cluster with two Pods, whose admin port is $PORT: that of the proxy at $ADMIN.

    kubectl -n NS get pods ... -o name
    kubectl -n NS port-forward POD LOCAL:PORT
"""

import os
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer


class Forwarded(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        with urllib.request.urlopen(os.environ["ADMIN"] + self.path) as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main(_, __, what, *more):
    if what == "get":
        print("pod/one\npod/two")
        return
    pod, ports = more
    local, _, port = ports.rpartition(":")
    assert what == "port-forward" and pod in ("pod/one", "pod/two") and port == os.environ["PORT"], sys.argv
    # As the real one, it takes a moment.
    time.sleep(0.5)
    HTTPServer(("127.0.0.1", int(local or port)), Forwarded).serve_forever()


main(*sys.argv[1:])
