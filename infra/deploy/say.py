"""What the scripts say, and how they stop: a message for the person who typed the command, never a stack trace."""

import os
import sys


class Stop(Exception):
    """Nothing more is to be done; the message says why, and what helps."""


def say(text=""):
    print(text, flush=True)


def step(text):
    print(f"\n== {text}", flush=True)


def stop(text):
    raise Stop(text)


def confirmed(question):
    """Yes from the person, or from YES=1."""
    if os.environ.get("YES") == "1":
        return True
    if not sys.stdin.isatty():
        stop(f"{question} Nobody is there to answer: set YES=1 to mean yes.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def typed(stage, what):
    """Goes on only when the stage's name was typed, here or as CONFIRM=<stage>: for what cannot be undone."""
    given = os.environ.get("CONFIRM")
    if given is None:
        if not sys.stdin.isatty():
            stop(f"{what} Nobody is there to confirm: set CONFIRM={stage} to mean it.")
        given = input(f"{what} Type the stage's name to go on: ").strip()
    if given != stage:
        stop(f"{given!r} is not the stage's name; nothing was changed.")
