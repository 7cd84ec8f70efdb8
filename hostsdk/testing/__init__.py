"""hostsdk.testing: shows that host functions can be interrupted, saved, moved, dropped and thrown into anywhere.

    def test_receive() -> None:
        explore(Scenario(make, "run", (5,))).exhaustive()

A run without faults counts the check points; then each of them is hit in turn by each kind of fault, and results,
memory, globals, effects and the time taken are compared.
"""

from .._engine import At, Every, Injected, Injector, Never, Randomly
from .explore import Exploration, Report, explore
from .faults import Kind, Thrown
from .guest import FakeGuest, GuardError
from .report import Hit, InjectionFailure
from .scenario import Scenario, World
from .stepping import SteppingDriver, Stuck

__all__ = [
    "At",
    "Every",
    "Exploration",
    "FakeGuest",
    "GuardError",
    "Hit",
    "Injected",
    "InjectionFailure",
    "Injector",
    "Kind",
    "Never",
    "Randomly",
    "Report",
    "Scenario",
    "SteppingDriver",
    "Stuck",
    "Thrown",
    "World",
    "explore",
]
