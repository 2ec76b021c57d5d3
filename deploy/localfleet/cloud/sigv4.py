"""Checks a request's signature, as AWS does (Signature Version 4)."""

import hashlib
import hmac
import re
from datetime import datetime, timezone
from urllib.parse import quote, unquote

SKEW_SECONDS = 300
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,\s*"
                    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})$")
MUST_BE_SIGNED = {"host", "x-amz-date"}


class Refused(Exception):
    """With the vendor's error code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text


def sign(secret, date, region, service, text):
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def canonical_query(query):
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = [(quote(unquote(name), safe="-._~"), quote(unquote(value), safe="-._~")) for name, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def verify(request, keys, services, now=None):
    """`request`: method, path, query, headers (lower case), body. `keys`: access key -> {secret, token}.
    `services`: the names that it may be signed for. Returns (access key, region, service)."""
    match = SIGNED.match(request.headers.get("authorization", ""))
    if not match:
        raise Refused("MissingAuthenticationToken", "the request is not signed")
    access, date, region, service, names, signature = match.groups()
    names = names.split(";")
    if access not in keys:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if not MUST_BE_SIGNED <= set(names) or names != sorted(names):
        raise Refused("IncompleteSignature", f"host and x-amz-date have to be signed, in order: {names}")
    unsigned = [name for name in request.headers if name.startswith("x-amz-") and name not in names]
    if unsigned:
        raise Refused("IncompleteSignature", f"not signed: {unsigned}")
    if service not in services:
        raise Refused("InvalidSignatureException", f"Credential should be scoped to correct service: {services}")
    check_time(request.headers["x-amz-date"], date, now or datetime.now(timezone.utc))
    check_signature(request, keys[access], date, region, service, names, signature)
    check_token(request, keys[access])
    return access, region, service


def check_time(stamp, date, now):
    signed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    if stamp[:8] != date:
        raise Refused("InvalidSignatureException", "Date in Credential scope does not match X-Amz-Date")
    if abs((now - signed).total_seconds()) > SKEW_SECONDS:
        raise Refused("InvalidSignatureException",
                      f"Signature expired: {stamp} is now earlier than {now:%Y%m%dT%H%M%SZ} - 5 min.")


def check_signature(request, key, date, region, service, names, signature):
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    canonical = "\n".join([request.method, quote(request.path, safe="/-._~") or "/", canonical_query(request.query),
                           headers, ";".join(names), hashlib.sha256(request.body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], f"{date}/{region}/{service}/aws4_request",
                      hashlib.sha256(canonical.encode()).hexdigest()])
    if not hmac.compare_digest(sign(key["secret"], date, region, service, text), signature):
        raise Refused("SignatureDoesNotMatch", "The request signature we calculated does not match the signature "
                      "you provided.")


def check_token(request, key):
    if request.headers.get("x-amz-security-token", "") != key.get("token", ""):
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.")
    if key.get("expired"):
        raise Refused("ExpiredTokenException", "The security token included in the request is expired")
