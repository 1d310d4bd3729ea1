"""What a month on AWS costs, from traffic: an estimate with its prices and assumptions in the open."""

from dataclasses import dataclass

import template
from say import say, stop

# US dollars, region us-east-1, without the free tier and without taxes. None of these was looked up in an account.
SOURCES = [
    "KMS: aws.amazon.com/kms/pricing, stored copy read in November 2026",
    "API Gateway, Lambda, CloudWatch: third-party pages of 2025 and 2026 that quote AWS's, read in November 2026",
    "DynamoDB: as AWS reduced them on 1 November 2024, from memory; compare aws.amazon.com/dynamodb/pricing",
]
API_PER_MILLION = 1.00
LAMBDA_PER_MILLION = 0.20
GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
READ_PER_MILLION = 0.125
WRITE_PER_MILLION = 0.625
STORAGE_GB = 0.25
BACKUP_GB = 0.20
KEY = 1.00
SIGN_PER_10000 = {"RS256": 0.03, "ES256": 0.15, "EdDSA": 0.15}
LOG_GB = 0.50
ALARM = 0.10
METRIC = 0.30
DASHBOARD = 3.00


@dataclass
class Route:
    """What one request costs in AWS's units."""

    reads: float
    writes: float
    signatures: int
    memory_gb: float
    seconds: float


# Units: the AWS calls of shared/docs/performance.md, with items below 4 KB to read and 1 KB to write. Seconds: assumed,
# with 4 ms for a call to DynamoDB and 10 ms for one to KMS; not measured on AWS.
ROUTES = {
    "login": Route(reads=7, writes=5, signatures=1, memory_gb=1.73, seconds=0.060),
    "refresh": Route(reads=4, writes=1, signatures=1, memory_gb=0.5, seconds=0.025),
    "revoke": Route(reads=4, writes=6, signatures=0, memory_gb=0.5, seconds=0.015),
    "jwks": Route(reads=1, writes=0, signatures=0, memory_gb=0.5, seconds=0.006),
}
# Function line, Lambda's own lines, access log.
LOG_BYTES = 1100
FAMILY_BYTES = 1500

SETTINGS = {
    "USERS": ("100000", "users who are active in the month"),
    "LOGINS": ("2", "logins per user and month"),
    "REFRESHES": ("60", "refreshes per user and month: twice a day"),
    "SIGNOUTS": ("0.5", "sign-outs per user and month"),
    "JWKS": ("1000000", "fetches of key sets per month"),
    "TENANTS": ("10", "tenants"),
    "ALGORITHM": ("RS256", "RS256, ES256 or EdDSA"),
    "CUSTODY": ("kms", "kms or wrapped"),
    "ARCHITECTURE": ("x86_64", "x86_64 or arm64"),
}


def settings(environment):
    values = {name: environment.get(name) or default for name, (default, _) in SETTINGS.items()}
    for name in ("USERS", "LOGINS", "REFRESHES", "SIGNOUTS", "JWKS", "TENANTS"):
        try:
            values[name] = float(values[name])
        except ValueError:
            stop(f"{name}={values[name]} is no number.")
    for name, choices in (("ALGORITHM", SIGN_PER_10000), ("ARCHITECTURE", GB_SECOND), ("CUSTODY", ("kms", "wrapped"))):
        if values[name] not in choices:
            stop(f"{name}={values[name]}: one of {', '.join(choices)}.")
    return values


def lines(v):
    """The estimate: what, quantity, dollars."""
    counts = {
        "login": v["USERS"] * v["LOGINS"],
        "refresh": v["USERS"] * v["REFRESHES"],
        "revoke": v["USERS"] * v["SIGNOUTS"],
        "jwks": v["JWKS"],
    }
    requests = sum(counts.values())

    def total(of):
        return sum(count * of(ROUTES[route]) for route, count in counts.items())

    tokens = total(lambda route: route.signatures)
    gb_seconds = total(lambda route: route.memory_gb * route.seconds)
    reads, writes = total(lambda route: route.reads), total(lambda route: route.writes)
    # A family is kept until it has been idle for 30 days, so there are about as many as logins in two months.
    stored = counts["login"] * 2 * FAMILY_BYTES / 1e9
    yield "API Gateway", f"{requests / 1e6:.1f} million requests", requests / 1e6 * API_PER_MILLION
    yield "Lambda requests", f"{requests / 1e6:.1f} million", requests / 1e6 * LAMBDA_PER_MILLION
    yield "Lambda time", f"{gb_seconds / 1e3:.0f} thousand GB-s", gb_seconds * GB_SECOND[v["ARCHITECTURE"]]
    yield "DynamoDB reads", f"{reads / 1e6:.1f} million units", reads / 1e6 * READ_PER_MILLION
    yield "DynamoDB writes", f"{writes / 1e6:.1f} million units", writes / 1e6 * WRITE_PER_MILLION
    yield "DynamoDB storage", f"{stored:.2f} GB and its backup", stored * (STORAGE_GB + BACKUP_GB)
    if v["CUSTODY"] == "kms":
        yield "KMS keys", f"{v['TENANTS']:.0f}", v["TENANTS"] * KEY
        yield "KMS signatures", f"{tokens / 1e6:.1f} million", tokens / 1e4 * SIGN_PER_10000[v["ALGORITHM"]]
    yield "KMS wrapping key", "1", KEY
    yield "CloudWatch logs", f"{requests * LOG_BYTES / 1e9:.1f} GB", requests * LOG_BYTES / 1e9 * LOG_GB
    alarms, metrics = watched()
    watching = alarms * ALARM + metrics * METRIC + DASHBOARD
    yield "CloudWatch alarms, metrics, dashboard", f"{alarms}, {metrics}, 1", watching


def watched():
    """How many alarms the template has, and metrics of our own."""
    kinds = [resource["Type"] for resource in template.load()["Resources"].values()]
    lines = (template.ROOT / "infra" / "metrics.txt").read_text().splitlines()
    return kinds.count("AWS::CloudWatch::Alarm"), sum(1 for line in lines if line and not line.startswith("#"))


def show(environment):
    values = settings(environment)
    say("What a month costs, in US dollars (us-east-1; an estimate, nothing here was run on AWS):\n")
    for name, (_, meaning) in SETTINGS.items():
        value = f"{values[name]:g}" if isinstance(values[name], float) else values[name]
        say(f"  {name + '=' + value:<24} {meaning}")
    say()
    rows = list(lines(values))
    for what, quantity, dollars in rows:
        say(f"  {what:<40} {quantity:>24} {dollars:>10.2f}")
    say(f"  {'all':<40} {'':>24} {sum(row[2] for row in rows):>10.2f}")
    say("\nPrices:")
    for source in SOURCES:
        say(f"  {source}")
