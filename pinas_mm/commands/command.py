"""How every command ends: an error is a line, as is Ctrl-C while libraries are loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable

from pinas_mm import ending


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Ends a command as :func:`~pinas_mm.engine.faults.fail` does, on Ctrl-C too.

    That function knows all libraries, and is loaded when there is an error.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        ending.while_loading()
        try:
            main()
        except Exception as error:
            from pinas_mm.engine.faults import fail

            fail(error)
        ending.leave_process_group()

    return wrapped
