"""The main job against a deployed stage, over HTTPS as a client would do it: sign in, verify, refresh, lose a reply,
retry, revoke. It has a tenant of its own, `smoke`, and makes a user for each run, whom it disables at the end.
"""

import base64
import hashlib
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request

from say import say, stop

TENANT = "smoke"
CLIENT = "smoke-app"
API = "https://smoke.invalid"


def password():
    """A password that no list holds."""
    return secrets.token_urlsafe(18)


class Reply:
    """An answer, of whatever status."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}


def call(url, body=None, form=None, headers=None):
    """One request: JSON or a form when there is a body, GET when there is none."""
    headers = {"user-agent": "leasehold-smoke", "x-client-version": "leasehold-smoke/1", **(headers or {})}
    data = None
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
    elif body is not None:
        data, headers["content-type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, error.read())
    except OSError as error:
        return stop(f"{url} does not answer: {error}")


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def rs256(token, keys):
    """The claims of a token whose signature holds under one of the keys (RFC 7515, RFC 8017 §8.2.2), or none."""
    head, claims, signature = token.split(".")
    header = json.loads(unpadded(head))
    key = next((key for key in keys if key["kid"] == header["kid"]), None)
    if key is None or header["alg"] != "RS256" or header["typ"] != "at+jwt":
        return None
    modulus, exponent = (int.from_bytes(unpadded(key[part])) for part in ("n", "e"))
    size = (modulus.bit_length() + 7) // 8
    digest = (
        bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(f"{head}.{claims}".encode()).digest()
    )
    wanted = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    opened = pow(int.from_bytes(unpadded(signature)), exponent, modulus).to_bytes(size)
    return json.loads(unpadded(claims)) if opened == wanted else None


class Smoke:
    """A run, which counts what it finds."""

    def __init__(self, operator, url):
        self.operator = operator
        self.base = f"{url}/t/{TENANT}"
        self.failed = 0
        self.done = 0

    def check(self, holds, what):
        self.done += 1
        self.failed += not holds
        say(f"  {'ok  ' if holds else 'FAIL'}  {what}")
        return holds

    def tenant(self):
        if TENANT in self.operator.tenants():
            return
        clients = [{"client_id": CLIENT, "type": "public", "audiences": [API], "scopes": ["read"], "origins": []}]
        made = {"tenant": TENANT, "algorithm": "RS256", "clients": clients}
        admin = f"admin-{secrets.token_hex(4)}@smoke.invalid"
        answer = self.operator.ask("tenant.create", **made, admin={"username": admin})
        if "ok" not in answer:
            # A release without one-time codes, on a stage that lets operators set passwords.
            self.operator.must("tenant.create", **made, admin={"username": admin, "password": password()})

    def user(self):
        """A user who can sign in: name and password."""
        name, word = f"user-{secrets.token_hex(6)}@smoke.invalid", password()
        answer = self.operator.ask("user.create", tenant=TENANT, username=name)
        if "ok" in answer:
            body = {"client_id": CLIENT, "username": name, "code": answer["ok"]["code"], "new_password": word}
            self.check(call(f"{self.base}/password", body).status == 204, "a one-time code sets a password")
        else:
            self.operator.must("user.create", tenant=TENANT, username=name, password=word)
        return name, word

    def refresh(self, token):
        return call(
            f"{self.base}/token", form={"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}
        )

    def run(self):
        """The whole of it; how many checks failed."""
        self.tenant()
        name, word = self.user()
        try:
            self.main_job(name, word)
        finally:
            self.operator.must("user.disable", tenant=TENANT, username=name)
        say(f"{self.done - self.failed} passed, {self.failed} failed")
        return self.failed

    def main_job(self, name, word):
        who = {"client_id": CLIENT, "username": name}
        wrong = call(f"{self.base}/login", {**who, "password": "not the password at all"})
        self.check(wrong.status == 401, "a wrong password is refused with 401")
        login = call(f"{self.base}/login", {**who, "password": word})
        if not self.check(login.status == 200, f"a login is answered ({login.status})"):
            return
        found = call(f"{self.base}/.well-known/openid-configuration").json
        keys = call(found.get("jwks_uri", f"{self.base}/.well-known/jwks.json"))
        claims = rs256(login.json["access_token"], keys.json.get("keys", []))
        self.check(claims is not None, "the published keys verify the access token")
        self.check(bool(claims) and claims["iss"] == found.get("issuer"), "its issuer is the one that discovery names")
        first = login.json["refresh_token"]
        turn = self.refresh(first)
        self.check(turn.status == 200 and turn.json["refresh_token"] != first, "a refresh rotates the token")
        again = self.refresh(first)
        same = again.status == 200 and again.json["refresh_token"] == turn.json.get("refresh_token")
        self.check(same, "a retry after a lost reply gets the same successor")
        access = {"authorization": f"Bearer {again.json.get('access_token')}"}
        self.check(call(f"{self.base}/sessions", headers=access).status == 200, "the user sees the session")
        last = again.json.get("refresh_token", "")
        revoked = call(f"{self.base}/revoke", form={"client_id": CLIENT, "token": last})
        self.check(revoked.status == 200, "a sign-out is answered")
        after = self.refresh(last)
        self.check((after.status, after.json.get("error")) == (400, "invalid_grant"), "and ends the session")
        known = call(f"{self.base}/.well-known/jwks.json", headers={"if-none-match": keys.headers.get("etag", "")})
        self.check(known.status == 304, "known keys cost a 304")
