"""Deploys Leasehold: main.py COMMAND, with the settings in the environment as `make COMMAND SETTING=…` sets them.

deploy    checks, builds, shows what would change, asks, changes it, makes the first tenant, runs the smoke test
plan      the same as far as what would change
smoke     the main job against the stage
logs      the stage's log lines (FUNCTION=, EVENT=, ERRORS=1, SINCE=15m, FOLLOW=0)
rollback  back to the release before (RELEASE= another; RELEASE=list shows them)
destroy   removes the stage and all its data
cost      what a month costs (USERS=, TENANTS=, …; needs no stage)
"""

import os
import subprocess
import sys
import time

from botocore.exceptions import BotoCoreError, ClientError

import build
import cost
import logs
import package
import remove
import smoke
import stages
import template
from aws import connect
from operator_function import Operator, first_tenant
from package import Bucket
from say import Stop, confirmed, say, step, stop
from stack import Stack, show

# checkov takes a minute; CI runs it.
CHECKS = ["policy", "rights", "table", "authorizer", "watching", "complete", "cfn-lint", "parliament"]


def setting(name, default=None):
    return os.environ.get(name) or default


def check_template():
    step("Checking the template")
    ran = subprocess.run(
        [template.ROOT / "infra/python", "checks", "infra/checks/main.py", *CHECKS], cwd=template.ROOT, check=False
    )
    if ran.returncode:
        stop("The template does not pass its checks; nothing was deployed.")


def prepared(stage):
    """Everything up to the question whether to change: stack, bucket, the release and the change set."""
    build.check_tools(stage.architecture)
    account = connect(stage)
    say(f"Stage {stage.name}: account {account.id}, {account.region}, as {account.arn}")
    stack = Stack(account, stage)
    stack.check_ready()
    check_template()
    archives = build.pack(build.build(stage.architecture), stage.architecture)
    step("Sending what is new")
    bucket = Bucket(account, stage)
    bucket.ensure()
    return account, stack, bucket, release_of(bucket, stage, archives)


def release_of(bucket, stage, archives, adapt=lambda expanded: expanded):
    """What is deployed, and what a rollback deploys again: template, code and parameters. `adapt` fits an emulator."""
    expanded = adapt(template.expand(template.load(), package.send(bucket, archives)))
    return {
        "template": package.send_template(bucket, expanded),
        "parameters": parameters(expanded, stage),
        "commit": commit(),
    }


def parameters(expanded, stage):
    """All parameters: what the stage's file says, and else the default, so that taking a line out counts."""
    defaults = {name: str(p["Default"]) for name, p in expanded["Parameters"].items()}
    return {**defaults, **stage.values()}


def commit():
    ran = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=template.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout.strip() or "unknown"


def propose(stack, bucket, release):
    step("What would change")
    proposed = stack.propose(bucket.url(release["template"]), release["parameters"])
    if proposed is None:
        say("  nothing: the stage is as it should be")
        return None
    change_set, changes = proposed
    try:
        show(changes)
    except Stop:
        stack.discard(change_set)
        raise
    return change_set


def carry_out(stack, bucket, release, change_set, question):
    try:
        agreed = confirmed(question)
    except (Stop, KeyboardInterrupt):
        stack.discard(change_set)
        raise
    if not agreed:
        stack.discard(change_set)
        stop("Nothing was changed.")
    step("Changing it")
    stack.execute(change_set)
    bucket.write(f"releases/{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json", release)


def deploy(stage):
    account, stack, bucket, release = prepared(stage)
    change_set = propose(stack, bucket, release)
    if change_set:
        carry_out(stack, bucket, release, change_set, f"Deploy this to {stage.name}?")
    after(account, stage, stack)


def after(account, stage, stack):
    """The first tenant, the smoke test, and where everything is."""
    operator = Operator(account, stage)
    if stage.tenant:
        step("The first tenant")
        allowed = stack.parameters().get("OperatorPasswords") == "allow"
        first_tenant(operator, stage, allowed, smoke.password)
    failed = run_smoke(operator, stack)
    step("Where it is")
    for name, value in sorted(stack.outputs().items()):
        say(f"  {name:<22} {value}")
    if failed:
        stop("The smoke test failed; `make rollback` leads back to the release before.")


def run_smoke(operator, stack):
    step("Smoke test")
    return smoke.Smoke(operator, stack.outputs()["PublicUrl"]).run()


def plan(stage):
    _, stack, bucket, release = prepared(stage)
    change_set = propose(stack, bucket, release)
    if change_set:
        stack.discard(change_set)
        say("Nothing was changed.")


def deployed(stage):
    """The account and the stack of a stage that is there."""
    account = connect(stage)
    stack = Stack(account, stage)
    if not stack.outputs():
        stop(
            f"{stage.name} is not deployed to account {account.id}, {account.region}: `make deploy STAGE={stage.name}`."
        )
    return account, stack


def smoke_test(stage):
    account, stack = deployed(stage)
    if run_smoke(Operator(account, stage), stack):
        stop("The smoke test failed.")


def show_logs(stage):
    account, _ = deployed(stage)
    logs.show(
        account,
        stage,
        function=setting("FUNCTION"),
        event=setting("EVENT"),
        errors=setting("ERRORS") == "1",
        since=setting("SINCE", "15m"),
        follow=setting("FOLLOW", "1") == "1",
    )


def rollback(stage):
    """Deploys an earlier release again: its template, code and parameters. The data stays as it is."""
    account, stack = deployed(stage)
    stack.check_ready()
    bucket = Bucket(account, stage)
    names = sorted(key.removeprefix("releases/").removesuffix(".json") for key in bucket.keys("releases/"))
    wanted = setting("RELEASE")
    if wanted == "list":
        for name in names:
            say(f"  {name}  {bucket.read(f'releases/{name}.json')['commit']}")
        return
    if wanted is None:
        if len(names) < 2:
            stop(f"{stage.name} has no release before this one.")
        wanted = names[-2]
    if wanted not in names:
        stop(f"There is no release {wanted}; RELEASE=list shows them.")
    release = bucket.read(f"releases/{wanted}.json")
    say(f"Back to {wanted}, commit {release['commit']}.")
    change_set = propose(stack, bucket, release)
    if change_set:
        carry_out(stack, bucket, release, change_set, f"Roll {stage.name} back to this?")
    if run_smoke(Operator(account, stage), stack):
        stop("The smoke test failed.")


def destroy(stage):
    remove.destroy(connect(stage), stage)


COMMANDS = {
    "deploy": deploy,
    "plan": plan,
    "smoke": smoke_test,
    "logs": show_logs,
    "rollback": rollback,
    "destroy": destroy,
}


def main(arguments):
    name = arguments[0] if arguments else "help"
    try:
        if name == "cost":
            cost.show(os.environ)
        elif name in COMMANDS:
            COMMANDS[name](stages.load(setting("STAGE")))
        else:
            say(__doc__)
            return 2
    except Stop as why:
        print(f"\n{name}: {why}", file=sys.stderr)
        return 1
    except ClientError as error:
        print(f"\n{name}: AWS refused {error.operation_name}: {error.response['Error']}", file=sys.stderr)
        return 1
    except BotoCoreError as error:
        print(f"\n{name}: AWS can't be reached: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command again goes on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
