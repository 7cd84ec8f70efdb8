"""Loggers that import `logging` when they have something to say: most programs end without a word."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


class Log:
    """What the module of this name says. A library says nothing unless it is asked, so `hostsdk.*` has a handler that
    does nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._logger: logging.Logger | None = None

    @property
    def logger(self) -> logging.Logger:
        """The logger itself."""
        if self._logger is not None:
            return self._logger
        import logging

        package = logging.getLogger("hostsdk")
        if not package.handlers:
            package.addHandler(logging.NullHandler())
        self._logger = logging.getLogger(self._name)
        return self._logger

    @property
    def detailed(self) -> bool:
        """Whether somebody wants to know everything. Nobody does who has not even imported `logging`."""
        return "logging" in sys.modules and (self._logger or self.logger).isEnabledFor(10)

    def debug(self, text: str, *args: object) -> None:
        """Say what only somebody wants to know who looks for it."""
        if self.detailed:
            self.logger.debug(text, *args)

    def info(self, text: str, *args: object) -> None:
        """Say what is good to know."""
        if "logging" in sys.modules:
            self.logger.info(text, *args)

    def warning(self, text: str, *args: object) -> None:
        """Say what should be known."""
        self.logger.warning(text, *args)

    def exception(self, text: str, *args: object) -> None:
        """Say what went wrong, with the exception that is being handled."""
        self.logger.error(text, *args, exc_info=sys.exc_info())
