"""Commands to the operator function, by Lambda's Invoke: IAM decides who may."""

import json

from botocore.exceptions import ClientError

from aws import code_of
from say import say, stop


class Operator:
    """The operator function of a stage."""

    def __init__(self, account, stage):
        self.function = f"leasehold-{stage.name}-operator"
        self.client = account.client("lambda", read_timeout=310)

    def ask(self, operation, **members):
        """The whole answer: under `ok`, or under `error` with code and message."""
        payload = {"op": operation, **{name: value for name, value in members.items() if value is not None}}
        try:
            answer = self.client.invoke(FunctionName=self.function, Payload=json.dumps(payload).encode())
        except ClientError as error:
            stop(f"{self.function} can't be invoked ({code_of(error)}).")
        body = json.loads(answer["Payload"].read() or b"null")
        if not isinstance(body, dict) or not {"ok", "error"} & body.keys():
            stop(f"{self.function} failed; see `make logs`.")
        return body

    def must(self, operation, **members):
        answer = self.ask(operation, **members)
        if "ok" not in answer:
            error = answer["error"]
            stop(f"{operation} was refused: {error['code']}: {error['message']}")
        return answer["ok"]

    def tenants(self):
        cursor = None
        while True:
            page = self.must("tenant.list", cursor=cursor)
            yield from page["tenants"]
            cursor = page.get("next_cursor")
            if not cursor:
                return


def first_tenant(operator, stage, passwords_allowed, password):
    """Makes the tenant of the stage's file, once. `password` makes one where the stage lets an operator set it."""
    wanted = stage.tenant
    if not wanted or wanted["tenant"] in operator.tenants():
        return
    admin = {"username": wanted["admin"]}
    if passwords_allowed:
        admin["password"] = password()
    made = operator.must(
        "tenant.create",
        tenant=wanted["tenant"],
        algorithm=wanted.get("algorithm"),
        custody=wanted.get("custody"),
        policy=wanted.get("policy"),
        clients=wanted.get("clients", []),
        admin=admin,
    )
    say(f"  tenant {made['tenant']}, issuer {made['issuer']}")
    for client in made.get("clients", []):
        secret = f", secret {client['client_secret']} (shown once)" if client.get("client_secret") else ""
        say(f"  client {client['client_id']}{secret}")
    if "code" in made["admin"]:
        say(f"  admin {wanted['admin']}, one-time code {made['admin']['code']} (shown once; for POST /password)")
    elif "password" in admin:
        say(f"  admin {wanted['admin']}, password {admin['password']} (shown once; change it at /password)")
