import jwt


class Verifier:
    """Once per issuer, at start: keys are cached, and fetched again when a new one appears."""

    def __init__(self, issuer, audience, algorithm):
        self.keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")
        self.expected = {"issuer": issuer, "audience": audience, "algorithms": [algorithm]}

    def __call__(self, token):
        if jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("not an access token")
        key = self.keys.get_signing_key_from_jwt(token)
        return jwt.decode(token, key, options={"require": ["exp", "iat", "sub"]}, **self.expected)
