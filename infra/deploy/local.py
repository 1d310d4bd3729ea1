"""Deploys the stack to an AWS on this machine as `deploy` deploys it to the real one, tests it there, removes it again:
local.py [plain | enforced]…

plain     nothing is refused; the tests of the running stack go over its HTTP API
enforced  IAM is evaluated and requests are held to their tenant; the same tests, and each function is refused an action
          that it must not have

BINARIES=folder takes binaries that are built already.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import build
import remove
import smoke
import template
from aws import connect
from emulator import Emulator, Invoker, scratch
from main import carry_out, propose, release_of, rollback, run_smoke
from operator_function import Operator
from package import Bucket
from refused import Refusals
from say import Stop, say, step, stop
from stack import Stack
from stages import Stage

# Tests for which MiniStack is too unlike AWS.
NOT_DEPLOYED = template.ROOT / "tests" / "not-deployed.txt"
# How a test says that it can't use this stack: it moves its clock, kills its processes, stands between it and AWS.
OWN_STACK = "this test needs a stack of its own"


def binaries(architecture):
    if given := os.environ.get("BINARIES"):
        return {short: Path(given) / short for short in template.functions(template.load()).values()}
    return build.build(architecture)


def deployed(emulator, stage, archives):
    """Deploys the packed functions as `deploy` does; account and stack."""
    account = connect(stage)
    stack, bucket = Stack(account, stage), Bucket(account, stage)
    stack.check_ready()
    bucket.ensure()

    def adapted(expanded):
        expanded, changed = emulator.adapt(expanded)
        for change in changed:
            say(f"  for the emulator: {change}")
        return expanded

    release = release_of(bucket, stage, archives, adapted)
    carry_out(stack, bucket, release, propose(stack, bucket, release), "")
    step("The same once more")
    if propose(stack, bucket, release) is not None:
        stop("A second deploy of the same would change something.")
    return account, stack


def there_and_back(account, stage, stack):
    """A release with another setting, and the rollback from it."""
    bucket = Bucket(account, stage)
    (name,) = bucket.keys("releases/")
    release = bucket.read(name)
    before = stack.parameters()
    changed = {**release, "parameters": {**release["parameters"], "LogRetentionDays": "7"}}
    # Releases are named by the second.
    time.sleep(1)
    carry_out(stack, bucket, changed, propose(stack, bucket, changed), "")
    if stack.parameters()["LogRetentionDays"] != "7":
        stop("A changed parameter was not deployed.")
    rollback(stage)
    if stack.parameters() != before:
        stop("The rollback did not lead back.")


def run_tests(account, stage, stack, folder):
    """The tests of the running stack, against the deployed one."""
    with Invoker(account, stage) as invoker:
        seed = {"base_url": stack.outputs()["PublicUrl"], "endpoints": {"lambda": invoker.url}}
        file = folder / "seed.json"
        file.write_text(json.dumps(seed))
        lines = NOT_DEPLOYED.read_text().splitlines()
        names = [line.split()[0] for line in lines if line and not line.startswith("#")]
        skipped = [part for name in names for part in ("--skip", name)]
        ran = subprocess.run(
            # The whole workspace, so that nothing is compiled anew with other features.
            # The emulator is one process of Python: more at once would wait for it until something times out.
            ["cargo", "test", "--workspace", "--test", "it", "--", "--test-threads=2", *skipped],
            cwd=template.ROOT,
            env={**os.environ, "STACK": str(file), "RUST_BACKTRACE": "0"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    judge(ran)


def judge(ran):
    """Tells tests that fail from those that only say that they can't run here."""
    passed = re.findall(r"^test (\S+) \.\.\. ok$", ran.stdout, re.MULTILINE)
    parts = re.split(r"^---- (\S+) stdout ----$", ran.stdout, flags=re.MULTILINE)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    left_out = [name for name, text in said.items() if OWN_STACK in text]
    failed = {name: text for name, text in said.items() if name not in left_out}
    for name, text in failed.items():
        say(f"\n---- {name}\n{text.strip()[:3000]}")
    say(f"left out, since they need a stack of their own: {len(left_out)}")
    say(f"{len(passed)} passed, {len(failed)} failed")
    if failed or not passed:
        stop(f"The tests of the running stack fail against the deployed one.\n{ran.stdout[-300:]}")


def isolation_cost(account, stage, stack):
    """The first request for a tenant, which opens its session, beside those that follow."""
    operator, first, further = Operator(account, stage), [], []
    for number in range(11):
        made = operator.must(
            "tenant.create",
            tenant=f"cost-{number}",
            algorithm="ES256",
            admin={"username": "a@cost.invalid", "password": smoke.password()},
        )
        url = f"{stack.outputs()['PublicUrl']}/t/{made['tenant']}/.well-known/jwks.json"
        for times in (first, further):
            began = time.monotonic()
            if smoke.call(url).status != 200:
                stop(f"{url} does not answer.")
            times.append((time.monotonic() - began) * 1000)
    once, ever = statistics.median(first), statistics.median(further)
    say(f"  first request for a tenant {once:.1f} ms, further ones {ever:.1f} ms")


def leftovers(account):
    """What an account still holds that a stage had."""
    found = []

    def look(service, operation, member, name=lambda one: one):
        client = account.client(service)
        answer = getattr(client, operation)()
        found.extend(f"{service}: {name(one)}" for one in answer.get(member, []))

    look("lambda", "list_functions", "Functions", lambda one: one["FunctionName"])
    look("dynamodb", "list_tables", "TableNames")
    look("apigatewayv2", "get_apis", "Items", lambda one: one["Name"])
    look("logs", "describe_log_groups", "logGroups", lambda one: one["logGroupName"])
    look("cloudwatch", "describe_alarms", "MetricAlarms", lambda one: one["AlarmName"])
    look("cloudwatch", "list_dashboards", "DashboardEntries", lambda one: one["DashboardName"])
    look("events", "list_rules", "Rules", lambda one: one["Name"])
    look("s3", "list_buckets", "Buckets", lambda one: one["Name"])
    look("iam", "list_roles", "Roles", lambda one: one["RoleName"])
    look("kms", "list_aliases", "Aliases", lambda one: one["AliasName"])
    kms = account.client("kms")
    for key in kms.list_keys()["Keys"]:
        state = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"]
        if state != "PendingDeletion":
            found.append(f"kms: {key['KeyId']} {state}")
    return [one for one in found if "alias/aws/" not in one and "AWSServiceRole" not in one]


def run(mode, archives):
    enforced = mode == "enforced"
    stage = Stage(
        "local",
        "eu-central-1",
        parameters={
            "OperatorPasswords": "allow",
            "TenantIsolation": "enforce" if enforced else "share",
            "SampleApi": "on",
        },
    )
    step(f"MiniStack, {mode}")
    with Emulator(enforced) as emulator:
        os.environ.update({**emulator.environment(), "YES": "1"})
        before = leftovers(connect(stage))
        account, stack = deployed(emulator, stage, archives)
        if run_smoke(Operator(account, stage), stack):
            stop("The smoke test fails.")
        if not enforced:
            step("Another release, and back")
            there_and_back(account, stage, stack)
        if enforced:
            step("What IAM refuses")
            if Refusals(account, stage).run():
                stop("IAM lets something through that it must not, or refuses what a function needs.")
            step("What isolation costs")
            isolation_cost(account, stage, stack)
        step("The tests of the running stack, against the deployed one")
        run_tests(account, stage, stack, emulator.folder)
        step("Removing it")
        os.environ["CONFIRM"] = stage.name
        remove.destroy(account, stage)
        if left := [one for one in leftovers(account) if one not in before]:
            stop("Left behind:\n" + "\n".join(left))
        say("Nothing is left.")


def main(modes):
    architecture = "x86_64"
    try:
        scratch()
        build.check_tools(architecture)
        archives = build.pack(binaries(architecture), architecture)
        for mode in modes or ["plain", "enforced"]:
            run(mode, archives)
    except Stop as why:
        print(f"\ndeploy-local: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
