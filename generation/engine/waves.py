"""Many things painted in waves; a wave that breaks is painted again in smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from generation.engine import memory
from generation.engine.painter import Painter

Thing = TypeVar("Thing")


def paint_in_waves(
    painter: Painter,
    things: Sequence[Thing],
    paint: Callable[[Sequence[Thing]], Iterable[Thing]],
    broke: Callable[[Thing, Exception, bool], None],
    *,
    ends_all: Callable[[Exception, Sequence[Thing]], bool] = lambda *_: False,
    again: Callable[[Exception, int, int | None], None] = lambda *_: None,
) -> None:
    """Paint things in one wave, and what is left of a wave that breaks in halves of
    it, down to one thing, which gets a last try with nothing cached where memory ran
    out. One by one, it is the first of those left that broke, and it alone is tried
    again by itself.

    `paint` paints a wave and yields each thing when it is settled. `broke` is given a
    thing that broke by itself, with the error and whether memory ran out. `ends_all`
    is asked, of an error and of what is left, whether to raise it instead. `again` is
    told of an error after which so many things are begun again, and how many may be
    painted at once if memory ran out, else None.
    """
    waiting = [(list(things), False)]
    while waiting:
        left, is_last_try = waiting.pop()
        try:
            for thing in paint(tuple(left)):
                left.remove(thing)
            continue
        except Exception as error:
            if ends_all(error, left):
                raise
            full = memory.ran_out(error)
            if len(left) == 1 and (is_last_try or not full):
                broke(left[0], error, full)
                continue
            cut = 1 if painter.together == 1 else len(left) // 2
            again(error, len(left), cut if full and len(left) > 1 else None)
        # Not in the handler, where the traceback keeps tensors alive.
        painter.empty_memory()
        if len(left) == 1:
            waiting.append((left, True))
        else:
            waiting += [(left[cut:], False), (left[:cut], False)]
