"""Tokens of tests: signed by HMAC, with any header and any claims, right and wrong ones."""

import base64
import hashlib
import hmac
import json
import time

SECRET = "a secret of the tests that has more than the thirty-two bytes it needs"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(claims, secret=SECRET, header=None):
    """`header` and `claims` as they are: nothing is added."""
    parts = [json.dumps(part, separators=(",", ":")).encode()
             for part in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    text = ".".join(map(base64url, parts))
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64url(mac)}"


def token(sub=None, valid_s=600, secret=SECRET, header=None, **claims):
    """A token that is valid for so long from now (or was, when it is negative)."""
    subject = {} if sub is None else {"sub": sub}
    return sign({"exp": int(time.time()) + valid_s, **subject, **claims}, secret, header)


def bearer(text):
    return {"Authorization": f"Bearer {text}"}
