"""hostsdk.testing: shows that host functions can be interrupted, saved, moved, dropped and thrown into anywhere.

    def test_receive() -> None:
        explore(Scenario(make, "run", (5,))).exhaustive()

A run without faults counts the check points; then each of them is hit in turn by each kind of fault, and results,
memory, globals, effects and the time taken are compared.
"""

from .._engine import At, Every, Injected, Injector, Never, Randomly
from .cases import Case
from .driving import Setting
from .explore import Exploration, Report, explore
from .faults import Kind, Thrown
from .guest import FakeGuest, GuardError, TestGuest
from .report import Hit, InjectionFailure
from .scenario import Scenario, World
from .stepping import SteppingDriver, Stuck
from .trial import Trial

__all__ = [
    "At",
    "Case",
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
    "Setting",
    "SteppingDriver",
    "Stuck",
    "TestGuest",
    "Thrown",
    "Trial",
    "World",
    "explore",
]
