"""What a team that uses PyJWT and Authlib does with the service.

Nothing here knows more of it than its issuers: every other address comes from discovery. Only login is ours and has
no standard.
"""

import base64
import json
import sys
import warnings

import jwt
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InvalidTokenError
from authlib.oauth2.rfc8414 import get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from verify import Verifier

TIMEOUT = 30
# RFC 9864 renames EdDSA to Ed25519 for JWS; libraries and KMS's users know the old name.
warnings.filterwarnings("ignore", message="EdDSA is deprecated")
failed = 0


def check(what, run):
    global failed
    try:
        run()
        print(f"ok    {what}")
    except Exception as error:  # noqa: BLE001 (a check may fail in any way)
        failed += 1
        print(f"FAIL  {what}: {type(error).__name__} {error}")


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")


def refused(kind, run, error=None):
    """What runs must be refused, and for this reason alone; the control is a check that succeeds."""
    try:
        value = run()
    except kind as refusal:
        if error is not None:
            equal(refusal.error, error)
        return
    raise AssertionError(f"accepted: {value!r}")


def get(url):
    response = requests.get(url, timeout=TIMEOUT)
    response.raise_for_status()
    return response.json()


def login(tenant, **credentials):
    body = {"client_id": tenant["client_id"], "username": tenant["username"], "password": tenant["password"]}
    response = requests.post(f"{tenant['issuer']}/login", json=body | credentials, timeout=TIMEOUT)
    equal(response.status_code, 200)
    return response.json()


def tampered(token):
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["scope"] = "admin:keys"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{forged}.{signature}"


class ApiValidator(JWTBearerTokenValidator):
    """Authlib's resource server by RFC 9068, with the keys that discovery leads to."""

    def __init__(self, metadata, audience):
        super().__init__(issuer=metadata["issuer"], resource_server=audience)
        self.jwks = KeySet.import_key_set(get(metadata["jwks_uri"]))

    def get_jwks(self):
        return self.jwks


class Walk:
    def __init__(self, name, tenant, other):
        self.name, self.tenant, self.other = name, tenant, other
        self.metadata = self.tokens = self.spent = self.session = None

    def run(self):
        algorithm = self.tenant["algorithm"]
        for what, step in [
            ("metadata by RFC 8414", self.discover),
            ("metadata by OpenID Connect Discovery, the same", self.discover_openid),
            ("login", self.sign_in),
            (f"{algorithm} token verified by PyJWT", self.verify),
            # Authlib's validator takes the algorithms that its JOSE library recommends, and EdDSA is none of them.
            ("access token verified by joserfc", self.joserfc)
            if algorithm == "EdDSA"
            else ("access token accepted by Authlib as RFC 9068", self.resource_server),
            ("the README's verifier takes it, and nothing else", self.readme),
            ("an ID token for the client, and for no API", self.id_token),
            ("introspection through Authlib's OAuth2Session", self.introspect),
            *([("what API Gateway's JWT authorizer checks, holds", self.api_gateway)] if algorithm == "RS256" else []),
            ("another audience is refused", self.wrong_audience),
            ("another issuer is refused", self.wrong_issuer),
            ("another algorithm is refused", self.wrong_algorithm),
            ("a tampered token is refused", self.tampered),
            ("another tenant's keys do not verify it", self.foreign_keys),
            ("refresh through Authlib's OAuth2Session", self.refresh),
            ("a lost reply: the retry gets the same successor", self.lost_reply),
            ("revocation through Authlib's OAuth2Session", self.revoke),
            ("refresh after revocation gives invalid_grant", self.refresh_after_revocation),
            ("a confidential client refreshes by client_secret_basic and by client_secret_post", self.confidential),
        ]:
            check(f"{self.name}: {what}", step)

    def discover(self):
        self.metadata = get(get_well_known_url(self.tenant["issuer"], external=True))
        equal(self.metadata["issuer"], self.tenant["issuer"])

    def discover_openid(self):
        equal(get(f"{self.tenant['issuer']}/.well-known/openid-configuration"), self.metadata)

    def sign_in(self):
        self.tokens = login(self.tenant)
        self.session = self.oauth()

    def oauth(self, client_id=None, client_secret=None, method="none"):
        return OAuth2Session(
            client_id or self.tenant["client_id"],
            client_secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            default_timeout=TIMEOUT,
        )

    def decode(self, token, jwks_uri=None, **changes):
        key = jwt.PyJWKClient(jwks_uri or self.metadata["jwks_uri"]).get_signing_key_from_jwt(token)
        expected = {
            "algorithms": [self.tenant["algorithm"]],
            "audience": self.tenant["audience"],
            "issuer": self.tenant["issuer"],
            "options": {"require": ["exp", "iat", "iss", "aud", "sub"]},
        }
        return jwt.decode(token, key, **(expected | changes))

    def verify(self):
        token = self.tokens["access_token"]
        equal(jwt.get_unverified_header(token)["typ"], "at+jwt")
        claims = self.decode(token)
        equal([claims["tid"], claims["sid"]], [self.name, self.tokens["sid"]])
        equal(claims["exp"] - claims["iat"], self.tokens["expires_in"])

    def resource_server(self):
        token = self.tokens["access_token"]
        validator = ApiValidator(self.metadata, self.tenant["audience"])
        claims = validator.authenticate_token(token)
        validator.validate_token(claims, [], None)
        equal(claims["iss"], self.tenant["issuer"])
        stranger = ApiValidator(self.metadata, "https://api.elsewhere.example")
        refused(InvalidTokenError, lambda: stranger.validate_token(stranger.authenticate_token(token), [], None))

    def joserfc(self):
        keys = KeySet.import_key_set(get(self.metadata["jwks_uri"]))
        token = jose.decode(self.tokens["access_token"], keys, algorithms=[self.tenant["algorithm"]])
        rules = {"iss": self.tenant["issuer"], "aud": self.tenant["audience"]}
        registry = jose.JWTClaimsRegistry(**{name: {"essential": True, "value": value} for name, value in rules.items()})
        registry.validate(token.claims)
        equal(token.header["typ"], "at+jwt")

    def readme(self):
        verify = Verifier(self.tenant["issuer"], self.tenant["audience"], self.tenant["algorithm"])
        token = self.tokens["access_token"]
        equal(verify(token)["sid"], self.tokens["sid"])
        refused(jwt.InvalidSignatureError, lambda: verify(tampered(token)))
        elsewhere = Verifier(self.other["issuer"], self.other["audience"], self.other["algorithm"])
        refused(jwt.PyJWKClientError, lambda: elsewhere(token))

    def id_token(self):
        tokens = login(self.tenant, scope="openid orders:read", nonce="n-0S6")
        claims = self.decode(tokens["id_token"], audience=self.tenant["client_id"])
        equal([claims["nonce"], claims["sid"]], ["n-0S6", tokens["sid"]])
        refused(jwt.InvalidAudienceError, lambda: self.decode(tokens["id_token"]))
        verify = Verifier(self.tenant["issuer"], self.tenant["client_id"], self.tenant["algorithm"])
        refused(jwt.InvalidTokenError, lambda: verify(tokens["id_token"]))
        told = requests.get(
            self.metadata["userinfo_endpoint"],
            headers={"Authorization": f"Bearer {tokens['access_token']}"},
            timeout=TIMEOUT,
        )
        equal(told.json(), {"sub": claims["sub"]})

    def introspect(self):
        client = self.tenant["confidential"]
        session = self.oauth(client["client_id"], client["client_secret"], "client_secret_basic")
        ask = lambda token: session.introspect_token(self.metadata["introspection_endpoint"], token=token).json()
        told = ask(self.tokens["access_token"])
        equal([told["active"], told["sid"]], [True, self.tokens["sid"]])
        equal(ask(tampered(self.tokens["access_token"])), {"active": False})

    def api_gateway(self):
        """The steps of API Gateway's own JWT authorizer (HTTP API developer guide, "How JWT authorizers work"): keys from
        the issuer's discovery document, RSA alone, `iss`, `aud` or `client_id`, `exp`, `nbf`, `iat`, a scope of the route.
        """
        issuer, token = self.tenant["issuer"], self.tokens["access_token"]
        document = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=1.5)
        keys = requests.get(document.json()["jwks_uri"], timeout=1.5)
        equal(max(len(document.content), len(keys.content)) < 150_000, True)
        header = jwt.get_unverified_header(token)
        (key,) = [key for key in keys.json()["keys"] if key["kid"] == header["kid"]]
        equal([header["alg"], key["kty"], key["alg"]], ["RS256", "RSA", "RS256"])
        claims = jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"], issuer=issuer, audience=self.tenant["audience"])
        equal("orders:read" in claims["scope"].split(), True)

    def wrong_audience(self):
        run = lambda: self.decode(self.tokens["access_token"], audience="https://api.elsewhere.example")
        refused(jwt.InvalidAudienceError, run)

    def wrong_issuer(self):
        refused(jwt.InvalidIssuerError, lambda: self.decode(self.tokens["access_token"], issuer=self.other["issuer"]))

    def wrong_algorithm(self):
        others = [name for name in ("RS256", "ES256", "EdDSA", "HS256") if name != self.tenant["algorithm"]]
        refused(jwt.InvalidAlgorithmError, lambda: self.decode(self.tokens["access_token"], algorithms=others))

    def tampered(self):
        refused(jwt.InvalidSignatureError, lambda: self.decode(tampered(self.tokens["access_token"])))

    def foreign_keys(self):
        theirs = f"{self.other['issuer']}/.well-known/jwks.json"
        refused(jwt.PyJWKClientError, lambda: self.decode(self.tokens["access_token"], theirs))

    def refresh(self):
        self.spent = self.tokens["refresh_token"]
        self.tokens = self.session.refresh_token(self.metadata["token_endpoint"], refresh_token=self.spent)
        equal(self.tokens["rotation"], {"generation": 1, "replayed": False})
        self.decode(self.tokens["access_token"])

    def lost_reply(self):
        again = self.oauth().refresh_token(self.metadata["token_endpoint"], refresh_token=self.spent)
        equal(again["refresh_token"], self.tokens["refresh_token"])
        equal(again["rotation"], {"generation": 1, "replayed": True})

    def revoke(self):
        token = self.tokens["refresh_token"]
        response = self.session.revoke_token(
            self.metadata["revocation_endpoint"], token=token, token_type_hint="refresh_token"
        )
        equal((response.status_code, response.text), (200, ""))

    def refresh_after_revocation(self):
        from authlib.integrations.base_client import OAuthError

        endpoint, token = self.metadata["token_endpoint"], self.tokens["refresh_token"]
        refused(OAuthError, lambda: self.oauth().refresh_token(endpoint, refresh_token=token), "invalid_grant")

    def confidential(self):
        client = self.tenant["confidential"]
        token = login(self.tenant, **client)["refresh_token"]
        for method in ["client_secret_basic", "client_secret_post"]:
            session = self.oauth(client["client_id"], client["client_secret"], method)
            token = session.refresh_token(self.metadata["token_endpoint"], refresh_token=token)["refresh_token"]


def main(path):
    with open(path, encoding="utf-8") as file:
        tenants = json.load(file)["tenants"]
    names = list(tenants)
    for index, name in enumerate(names):
        Walk(name, tenants[name], tenants[names[(index + 1) % len(names)]]).run()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
