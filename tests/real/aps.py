"""Stands before a Prometheus as Amazon's service does: whoever's signature is not the one that botocore computes is refused.

aps.py PORT PROMETHEUS KEY_ID SECRET_KEY
"""

import http.server
import re
import sys
import urllib.error
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PORT, PROMETHEUS, KEY_ID, SECRET_KEY = int(sys.argv[1]), *sys.argv[2:5]
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})"
)


def refusal(handler, body):
    """Why Amazon would refuse the request; nothing if it would not."""
    parts = AUTHORIZATION.fullmatch(handler.headers.get("Authorization", ""))
    if not parts:
        return "Missing Authentication Token"
    key_id, day, region, service, signed, signature = parts.groups()
    signed = signed.split(";")
    if (key_id, region, service) != (KEY_ID, "eu-west-1", "aps"):
        return "Credential should be scoped to a valid Region and correct service: aps"
    if not {"host", "x-amz-date"} <= set(signed) or not handler.headers["X-Amz-Date"].startswith(day):
        return "host and date have to be signed"
    request = AWSRequest(
        method=handler.command,
        url=f"https://{handler.headers['Host']}{handler.path}",
        data=body,
        headers={name: handler.headers[name] for name in signed},
    )
    request.context["timestamp"] = handler.headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(KEY_ID, SECRET_KEY), service, region)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if signature != expected:
        return "The request signature we calculated does not match the signature you provided."
    return None


class Amazon(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        why = refusal(self, body)
        prefix = "/workspaces/ws-1"
        if why or not self.path.startswith(f"{prefix}/api/"):
            self.answer(403, f'{{"message":"{why}"}}'.encode())
            return
        behind = urllib.request.Request(
            PROMETHEUS + self.path.removeprefix(prefix), data=body, headers={"Content-Type": self.headers["Content-Type"]}
        )
        try:
            with urllib.request.urlopen(behind, timeout=5) as found:
                self.answer(found.status, found.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, error.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Amazon).serve_forever()
