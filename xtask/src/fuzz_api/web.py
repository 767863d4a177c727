"""The service behind the proxy while the API is tried: every method is answered, as text or as JSON."""

import http.server
import json
import sys


PLAIN = ("/", "/health")


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self):
        if self.headers.get("Transfer-Encoding"):
            # The body has an end only for those who read pieces.
            self.close_connection = True
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = "text/plain" if self.path in PLAIN else "application/json"
        text = b"ok" if self.path in PLAIN else json.dumps({"method": self.command, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Web).serve_forever()
