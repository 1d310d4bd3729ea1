"""The log lines of a stage as they come, of all functions or one."""

import json
import re
import time

import template
from say import say, stop

UNITS = {"m": 60, "h": 3600, "d": 86400}
# What EVENT= may ask for, as a filter of CloudWatch Logs over the functions' JSON lines.
EVENTS = {
    "reuse": '{ $.verdict = "reuse" }',
    "throttled": "{ $.status = 429 }",
}


def seconds(text):
    found = re.fullmatch(r"(\d+)([mhd])", text)
    if not found:
        stop(f"SINCE={text} is not a time: 15m, 2h, 3d.")
    return int(found[1]) * UNITS[found[2]]


def pattern(event, errors):
    if event and event not in EVENTS:
        stop(f"There is no EVENT={event}; there are {', '.join(EVENTS)}.")
    if event:
        return EVENTS[event]
    # A line of a function at level ERROR, or what Lambda says of one that crashed or ran out of time.
    return '{ $.level = "ERROR" }' if errors else ""


def groups(stage, function):
    shorts = sorted(template.functions(template.load()).values())
    if function and function not in [*shorts, "access"]:
        stop(f"There is no function {function}; there are {', '.join(shorts)}, and access.")
    names = {short: f"/aws/lambda/leasehold-{stage.name}-{short}" for short in shorts}
    names["access"] = f"/aws/vendedlogs/leasehold-{stage.name}-access"
    return {function: names[function]} if function else {short: names[short] for short in shorts}


def line(message):
    """A JSON line as `field=value …`, any other as it is."""
    try:
        fields = json.loads(message)
    except ValueError:
        return message.rstrip()
    if not isinstance(fields, dict) or "_aws" in fields:
        return None
    at, level = fields.pop("timestamp", ""), fields.pop("level", "")
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    return f"{at} {level:<5} {rest}"


def show(account, stage, function=None, event=None, errors=False, since="15m", follow=True):
    client = account.client("logs")
    begin = int((time.time() - seconds(since)) * 1000)
    wanted, filtered = groups(stage, function), pattern(event, errors)
    shown = set()
    while True:
        found = []
        for short, group in wanted.items():
            try:
                pages = client.get_paginator("filter_log_events").paginate(
                    logGroupName=group, startTime=begin, **({"filterPattern": filtered} if filtered else {})
                )
                found += [(e["timestamp"], short, e["eventId"], e["message"]) for page in pages for e in page["events"]]
            except client.exceptions.ResourceNotFoundException:
                stop(f"There is no log {group}: is {stage.name} deployed to {account.region}?")
        for at, short, identity, message in sorted(found):
            text = line(message)
            if identity not in shown and text:
                say(f"{short:<10} {text}")
            shown.add(identity)
            begin = max(begin, at - 10_000)
        if not follow:
            return
        time.sleep(2)
