"""Holds live answers against infra/openapi.yaml: status, headers and body of every operation.

The document itself is validated first. An operation that was not called successfully fails, so a new one needs a row.
"""

import json
import sys

import jsonschema
import requests
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

TIMEOUT = 30
CHANGED_PASSWORD = "a longer walk to the harbour"


class Contract:
    def __init__(self, document, base_url):
        self.document, self.base_url = document, base_url
        self.registry = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(document))
        self.operations = {
            (method.upper(), path): operation
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
        }
        self.seen = {}
        self.failed = 0

    def resolved(self, node):
        while "$ref" in node:
            found = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def validate(self, value, schema):
        # References inside a schema are relative to the document.
        absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:openapi#/'))
        jsonschema.Draft202012Validator(absolute, registry=self.registry).validate(value)

    def check(self, what, status, method, path, query="", values=(), **request):
        """Sends one request; its answer must have this status and be as the document says."""
        try:
            answer = self.send(status, method, path, query, dict(values), request)
            print(f"ok    {method} {path}: {status} {what}")
            return answer
        except (AssertionError, KeyError, ValueError, jsonschema.ValidationError) as error:
            self.failed += 1
            reason = getattr(error, "message", None) or f"{type(error).__name__} {error}"
            print(f"FAIL  {method} {path}: {what}: {reason}")
            return None

    def need(self, *arguments, **request):
        """The same for an answer without which nothing else can be tried."""
        return self.check(*arguments, **request) or sys.exit(1)

    def send(self, status, method, path, query, values, request):
        url = self.base_url + path.format(tenant=values.pop("tenant", "acme"), **values) + query
        response = requests.request(method, url, timeout=TIMEOUT, **request)
        assert response.status_code == status, f"{response.status_code} {response.text}"
        operation = self.operations[method, path]
        assert str(status) in operation["responses"], f"{status} is not in the document"
        described = self.resolved(operation["responses"][str(status)])
        for name, header in described.get("headers", {}).items():
            header = self.resolved(header)
            if name in response.headers:
                self.validate(response.headers[name], header["schema"])
            else:
                assert not header.get("required"), f"no {name}"
        media = described.get("content")
        if media is None:
            assert response.text == "", f"a body: {response.text}"
            body = None
        else:
            content_type = response.headers["content-type"]
            assert content_type in media, content_type
            body = response.json()
            self.validate(body, media[content_type]["schema"])
        if status < 400:
            self.seen.setdefault((method, path), set()).add(status)
        return body if body is not None else response

    def complete(self):
        for operation in self.operations:
            if operation not in self.seen:
                self.failed += 1
                print(f"FAIL  {' '.join(operation)}: never answered successfully")


def walk(contract, tenant):
    check = contract.check
    t = "/t/{tenant}"
    app = {"client_id": tenant["client_id"]}
    good = app | {"username": tenant["username"], "password": tenant["password"]}
    origin = {"Origin": "http://localhost:5173"}

    login = lambda what, **more: contract.need(what, 200, "POST", t + "/login", json=good | more)
    tokens = login("signed in", device="contract-device")
    check("wrong password", 401, "POST", t + "/login", json=good | {"password": "not this one"})
    check("unknown client", 401, "POST", t + "/login", json=good | {"client_id": "nobody"})
    check("malformed", 400, "POST", t + "/login", data="{", headers={"content-type": "application/json"})
    check("no scope left", 400, "POST", t + "/login", json=good | {"scope": "nothing:known"})
    check("no admin", 403, "POST", t + "/login", json=good | {"client_id": "leasehold-admin"})
    check("too large", 413, "POST", t + "/login", json=good | {"device": "x" * 9000})
    check("a form", 415, "POST", t + "/login", data=good)
    for _ in range(24):
        body = app | {"username": "throttled@acme.example", "password": "guess"}
        answer = requests.post(f"{contract.base_url}/t/acme/login", json=body, timeout=TIMEOUT)
        if answer.status_code == 429:
            break
    check("too many attempts", 429, "POST", t + "/login", json=body)

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]} | app
    tokens = contract.need("refreshed", 200, "POST", t + "/token", data=form)
    check("replayed", 200, "POST", t + "/token", data=form)
    check("no such token", 400, "POST", t + "/token", data=form | {"refresh_token": "lhr_no"})
    check("no such grant", 400, "POST", t + "/token", data=form | {"grant_type": "password"})
    check("no such client", 401, "POST", t + "/token", data=form | {"client_id": "nobody"})
    unnamed = {name: value for name, value in form.items() if name != "client_id"}
    check("challenged", 401, "POST", t + "/token", data=unnamed, auth=("nobody", "lhs_x"))
    check("unknown tenant", 400, "POST", t + "/token", data=form, values={"tenant": "nowhere"})
    check("JSON", 415, "POST", t + "/token", json=form)
    body = app | {"refresh_token": tokens["refresh_token"]}
    tokens = contract.need("refreshed", 200, "POST", t + "/refresh", json=body)
    check("no scope so wide", 400, "POST", t + "/refresh", json=app | {"refresh_token": tokens["refresh_token"], "scope": "admin:keys"})
    confirm = app | {"refresh_token": tokens["refresh_token"]}
    check("confirmed", 204, "POST", t + "/confirm", json=confirm)
    check("an unknown token", 204, "POST", t + "/confirm", json=app | {"refresh_token": "lhr_no"})
    check("no token", 400, "POST", t + "/confirm", json=app)

    bearer = lambda tokens: {"Authorization": f"Bearer {tokens['access_token']}"}
    other = login("signed in again")
    check("listed", 200, "GET", t + "/sessions", headers=bearer(tokens))
    check("no token", 401, "GET", t + "/sessions")
    check("no good token", 401, "GET", t + "/sessions", headers={"Authorization": "Bearer a.b.c"})
    check("two tokens", 400, "GET", t + "/sessions", headers={"Authorization": "Bearer a, Bearer b"})
    reading = login("signed in with openid", scope="openid orders:read")
    check("who it is", 200, "GET", t + "/userinfo", headers=bearer(reading))
    check("no openid", 403, "GET", t + "/userinfo", headers=bearer(tokens))
    check("no token", 401, "GET", t + "/userinfo")
    backend = (tenant["confidential"]["client_id"], tenant["confidential"]["client_secret"])
    check("active", 200, "POST", t + "/introspect", data={"token": reading["access_token"]}, auth=backend)
    check("not active", 200, "POST", t + "/introspect", data={"token": "x"}, auth=backend)
    check("nobody asks", 401, "POST", t + "/introspect", data={"token": "x"})
    check("no token", 400, "POST", t + "/introspect", data={"x": "y"}, auth=backend)
    check("JSON", 415, "POST", t + "/introspect", json={"token": "x"}, auth=backend)
    check("let in", 200, "GET", t + "/sample/orders", headers=bearer(reading))
    check("no token", 401, "GET", t + "/sample/orders")
    check("no good token", 403, "GET", t + "/sample/orders", headers={"Authorization": "Bearer a.b.c"})
    check("no such scope", 403, "POST", t + "/sample/orders", headers=bearer(reading))
    check("let in", 201, "POST", t + "/sample/orders", headers=bearer(tokens))
    check("let in", 200, "GET", t + "/sample/me", headers=bearer(reading))
    check("challenged", 401, "GET", t + "/sample/me")
    check("two tokens", 400, "GET", t + "/sample/me", headers={"Authorization": "Bearer a, Bearer b"})
    one = t + "/sessions/{sid}"
    check("ended", 204, "DELETE", one, values={"sid": other["sid"]}, headers=bearer(tokens))
    check("no such session", 404, "DELETE", one, values={"sid": "0" * 32}, headers=bearer(tokens))
    check("not an option", 400, "DELETE", t + "/sessions", "?except=some", headers=bearer(tokens))
    check("all others ended", 204, "DELETE", t + "/sessions", "?except=current", headers=bearer(tokens))
    check("an access token of before", 401, "DELETE", t + "/sessions", headers=bearer(tokens))
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]} | app
    tokens = contract.need("the session that stayed", 200, "POST", t + "/token", data=form)
    check("all ended", 204, "DELETE", t + "/sessions", headers=bearer(tokens))

    tokens = login("signed in once more")
    check("revoked", 200, "POST", t + "/revoke", data=app | {"token": tokens["refresh_token"]})
    check("revoked already, as JSON", 200, "POST", t + "/revoke", json=app | {"token": tokens["access_token"]})
    check("no such client", 401, "POST", t + "/revoke", data={"client_id": "nobody", "token": "x"})
    change = good | {"new_password": CHANGED_PASSWORD}
    check("a common one", 400, "POST", t + "/password", json=good | {"new_password": "password1"})
    check("changed", 204, "POST", t + "/password", json=change)
    check("not the password any more", 401, "POST", t + "/password", json=change)

    feed = t + "/.well-known/revocations"
    page = contract.need("published", 200, "GET", feed)
    check("from a cursor", 200, "GET", feed, f"?since={page['next']}")
    check("no cursor", 400, "GET", feed, "?since=x")
    check("unknown tenant", 404, "GET", feed, values={"tenant": "nowhere"})
    for path in [t + "/.well-known/jwks.json", t + "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server" + t]:
        check("published", 200, "GET", path)
        tag = requests.get(contract.base_url + path.format(tenant="acme"), timeout=TIMEOUT).headers["etag"]
        check("not modified", 304, "GET", path, headers={"If-None-Match": tag})
        check("unknown tenant", 404, "GET", path, values={"tenant": "nowhere"})
    for path in ["/login", "/password", "/token", "/refresh", "/confirm", "/revoke"]:
        answer = check("preflight", 204, "OPTIONS", t + path, headers=origin | {"Access-Control-Request-Method": "POST"})
        if answer is not None and answer.headers.get("access-control-allow-origin") != origin["Origin"]:
            contract.failed += 1
            print(f"FAIL  OPTIONS {path}: a registered origin is not allowed")


def administer(contract, tenant):
    check, need = contract.check, contract.need
    t = "/t/{tenant}/admin"
    credentials = tenant["admin"] | {"client_id": "leasehold-admin"}

    def admin(**more):
        tokens = need("an admin", 200, "POST", "/t/{tenant}/login", json=credentials | more)
        return {"Authorization": f"Bearer {tokens['access_token']}"}

    h, narrow = admin(), admin(scope="admin:audit")
    any_version = h | {"If-Match": "*"}
    first = need("the keys", 200, "GET", t + "/keys", headers=h)["signing"]
    second = need("rotated", 200, "POST", t + "/keys/rotate", json={}, headers=h)["key"]["kid"]
    check("planned already", 409, "POST", t + "/keys/rotate", json={}, headers=h)
    step = lambda name, status, what, kid, body: check(
        what, status, "POST", t + "/keys/{kid}/" + name, values={"kid": kid}, json=body, headers=h
    )
    step("promote", 409, "too early", second, {})
    step("promote", 200, "forced", second, {"force": True})
    step("rollback", 200, "the way back", first, {})
    step("retain", 200, "kept", second, {})
    step("compromise", 200, "given up", second, {})
    step("rollback", 404, "no such key", "A" * 43, {})
    check("no token", 401, "GET", t + "/keys")
    check("no such scope", 403, "GET", t + "/keys", headers=narrow)
    check("another algorithm", 400, "POST", t + "/keys/rotate", json={"algorithm": "none"}, headers=h)
    check("no JSON", 415, "POST", t + "/keys/rotate", data="x", headers=h)

    key = h | {"Idempotency-Key": "0123456789abcdef0123"}
    user = need("made", 201, "POST", t + "/users", json={"username": "bob@acme.example"}, headers=key)["user"]
    check("made once", 201, "POST", t + "/users", json={"username": "bob@acme.example"}, headers=key)
    check("another body", 422, "POST", t + "/users", json={"username": "kim@acme.example"}, headers=key)
    check("taken", 409, "POST", t + "/users", json={"username": "bob@acme.example"}, headers=h)
    check("listed", 200, "GET", t + "/users", "?limit=1", headers=h)
    check("no cursor", 400, "GET", t + "/users", "?cursor=x", headers=h)
    one, bob = t + "/users/{id}", {"id": user["user_id"]}
    check("shown", 200, "GET", one, values=bob, headers=h)
    check("no such user", 404, "GET", one, values={"id": "usr_" + "0" * 32}, headers=h)
    check("changed", 200, "PATCH", one, values=bob, json={"claims": {"plan": "pro"}}, headers=any_version)
    stale = h | {"If-Match": '"000000000000000000000000"'}
    check("another version", 412, "PATCH", one, values=bob, json={"roles": []}, headers=stale)
    check("no version", 428, "PATCH", one, values=bob, json={"roles": []}, headers=h)
    check("reset", 200, "POST", one + "/reset", values=bob, json={}, headers=h)
    check("removed", 204, "DELETE", one, values=bob, headers=h)
    signed_in = {"client_id": tenant["client_id"], "username": tenant["username"], "password": CHANGED_PASSWORD}
    tokens = need("a user", 200, "POST", "/t/{tenant}/login", json=signed_in)
    sid = tokens["sid"]
    for name in ["access_token", "refresh_token"]:
        check(f"its {name}", 200, "POST", t + "/explain", json={"token": tokens[name]}, headers=h)
    check("no token of ours", 200, "POST", t + "/explain", json={"token": "x"}, headers=h)
    check("no token", 400, "POST", t + "/explain", json={}, headers=h)
    found = need("found", 200, "GET", t + "/users", "?username=" + tenant["username"], headers=h)["items"]
    user = {"id": found[0]["user_id"]}
    check("sessions", 200, "GET", one + "/sessions", values=user, headers=h)
    check("one ended", 204, "DELETE", one + "/sessions/{sid}", values=user | {"sid": sid}, headers=h)
    check("all ended", 204, "DELETE", one + "/sessions", values=user, headers=h)
    lines = '{"username":"lee@acme.example"}\n{"username":"kay@acme.example","password_hash":"$5$x"}\nx'
    ndjson = h | {"Content-Type": "application/x-ndjson"}
    check("imported", 200, "POST", t + "/users/import", data=lines, headers=ndjson)
    check("exported", 200, "GET", t + "/export", headers=h)

    body = {"client_id": "till", "type": "confidential", "scopes": ["orders:read"]}
    need("registered", 201, "POST", t + "/clients", json=body, headers=h)
    check("taken", 409, "POST", t + "/clients", json=body, headers=h)
    check("listed", 200, "GET", t + "/clients", headers=h)
    one, till = t + "/clients/{id}", {"id": "till"}
    check("shown", 200, "GET", one, values=till, headers=h)
    check("changed", 200, "PATCH", one, values=till, json={"scopes": []}, headers=any_version)
    check("a new secret", 200, "POST", one + "/secret", values=till, json={}, headers=h)
    check("removed", 204, "DELETE", one, values=till, headers=h)
    check("no such client", 404, "GET", one, values=till, headers=h)

    check("shown", 200, "GET", t + "/policy", headers=h)
    check("changed", 200, "PATCH", t + "/policy", json={"idle_seconds": 100_000}, headers=any_version)
    check("out of bounds", 400, "PATCH", t + "/policy", json={"idle_seconds": 1}, headers=any_version)
    check("shown", 200, "GET", t + "/audit", headers=narrow)
    check("no time", 400, "GET", t + "/audit", "?since=x", headers=narrow)
    check("by the hour", 200, "GET", t + "/health", headers=narrow)
    check("by the day", 200, "GET", t + "/health", "?days=2", headers=narrow)
    check("too far back", 400, "GET", t + "/health", "?hours=1000", headers=narrow)
    check("everybody's ended", 204, "DELETE", t + "/sessions", headers=h)
    check("this one's too", 401, "GET", t + "/policy", headers=h)


def main(document_path, tenants_path):
    with open(document_path, encoding="utf-8") as file:
        document = yaml.safe_load(file)
    OpenAPIV31SpecValidator(document).validate()
    print("ok    the document is valid OpenAPI 3.1")
    with open(tenants_path, encoding="utf-8") as file:
        found = json.load(file)
    contract = Contract(document, found["base_url"])
    walk(contract, found["tenants"]["acme"])
    administer(contract, found["tenants"]["acme"])
    contract.complete()
    return 1 if contract.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
