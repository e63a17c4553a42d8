"""Which build of a stack is used here: the one that is made already, else the first whose wheels can be had."""

from __future__ import annotations

import dataclasses
from itertools import chain
from typing import Callable

from labkit.base.console import warn
from labkit.stacks import engine as engines
from labkit.stacks import images, native, wheels
from labkit.stacks.catalog import Build, Stack, label
from labkit.stacks.engine import Engine
from labkit.stacks.selection import Choice


def made(stack: Stack, engine: Engine | None = None) -> Build:
    """The locked build of `stack` that has an image, where there is an `engine`, or an environment; else the first."""
    if len(stack.locked) < 2:
        return stack.build()
    names = engines.our_images(engine) if engine and not engine.problem else ()
    imaged = (build for build in stack.locked if images.tag(stack, build) in names)
    native_ones = (build for build in stack.locked if native.ready(stack, build))
    return next(chain(imaged, native_ones), stack.build())


def settled(choice: Choice, engine: Engine | None = None) -> Choice:
    """`choice` with the build that is made already, where the user did not name one."""
    if choice.exact or choice.build.pending:
        return choice
    build = made(choice.stack, engine)
    if build.name == choice.build.name:
        return choice
    reason = f"{choice.reason}; {label(choice.stack, build)} is made already"
    return dataclasses.replace(choice, build=build, reason=reason)


def make(choice: Choice, maker: Callable[[Stack, Build], object]) -> Choice:
    """Have `maker` make the build; where PyTorch's wheels for it cannot be had, the next one that needs none of them.

    Returns the choice with the build that was made. Raises Missing where there is no other, or the user named this one.
    """
    others = [build for build in choice.stack.locked if not build.wheels]
    try:
        maker(choice.stack, choice.build)
        return choice
    except wheels.Missing as error:
        if choice.exact or not others:
            raise
        wheels.forget(choice.build)  # a part of one may have arrived
        instead = dataclasses.replace(choice, build=others[0])
        warn(f"{error.message}. So it is {instead.label}, from the package index.")
    maker(instead.stack, instead.build)
    return instead
