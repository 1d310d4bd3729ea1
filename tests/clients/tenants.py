"""Completes the seeded tenants for the clients: a third tenant on EdDSA, and a confidential client for each.

Speaks to the operator as one does on AWS, through Lambda's Invoke API. Prints one JSON object, tenant by tenant.
"""

import json
import secrets
import sys

import requests

SCOPES = ["openid", "orders:read", "orders:write", "profile"]


def main(seed_path):
    with open(seed_path, encoding="utf-8") as file:
        seed = json.load(file)

    def operate(event):
        url = f"{seed['endpoints']['lambda']}/2015-03-31/functions/operator/invocations"
        answer = requests.post(url, json=event, timeout=60).json()
        if "ok" not in answer:
            raise SystemExit(f"operator {event['op']}: {answer}")
        return answer["ok"]

    algorithms = {"acme": "RS256", "globex": "ES256"}
    tenants = {}
    for name, tenant in seed["tenants"].items():
        user = tenant["users"][0]
        tenants[name] = {
            "algorithm": algorithms[name],
            "issuer": tenant["issuer"],
            "audience": f"https://api.{name}.example",
            "client_id": tenant["client_id"],
            "username": user["username"],
            "password": user["password"],
            "admin": {name: tenant["users"][1][name] for name in ("username", "password")},
        }

    name, username, password = "initech", "peter@initech.example", secrets.token_urlsafe(12)
    audience = f"https://api.{name}.example"
    created = operate(
        {
            "op": "tenant.create",
            "tenant": name,
            "algorithm": "EdDSA",
            "clients": [
                {"client_id": f"{name}-app", "type": "public", "audiences": [audience], "scopes": SCOPES}
            ],
            "admin": {"username": f"admin@{name}.example", "password": secrets.token_urlsafe(12)},
        }
    )
    operate({"op": "user.create", "tenant": name, "username": username, "password": password})
    tenants[name] = {
        "algorithm": "EdDSA",
        "issuer": created["issuer"],
        "audience": audience,
        "client_id": f"{name}-app",
        "username": username,
        "password": password,
    }

    for name, tenant in tenants.items():
        client = operate(
            {
                "op": "client.create",
                "tenant": name,
                "client_id": "backend",
                "type": "confidential",
                "audiences": [tenant["audience"]],
                "scopes": SCOPES,
            }
        )
        tenant["confidential"] = {"client_id": "backend", "client_secret": client["client_secret"]}
    json.dump({"base_url": seed["base_url"], "tenants": tenants}, sys.stdout, indent=2)


if __name__ == "__main__":
    main(sys.argv[1])
