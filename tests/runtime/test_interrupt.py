"""`Interrupt`, edge and level form: what is reported, to whom, how often."""

from __future__ import annotations

import gc
import signal
import threading
import weakref

import pytest

from runtime.exec.interrupt import Attachment, Interrupt
from tests.support.waits import PATIENCE, Inbox, in_thread


def polls(attachment: Attachment, count: int) -> list[bool]:
    return [attachment.poll() for _ in range(count)]


def stands(attachment: Attachment) -> bool:
    return attachment.standing


def test_one_setting_is_reported_once() -> None:
    """Behaviour 3: the poll after `set` reports, the next ones don't; another setting is another request."""
    interrupt = Interrupt()
    attachment = interrupt.attach(Inbox())
    assert polls(attachment, 2) == [False, False]
    interrupt.set("first")
    assert stands(attachment)
    assert polls(attachment, 3) == [True, False, False]
    assert not stands(attachment)
    assert interrupt.is_set
    interrupt.set("second")
    interrupt.set("third")
    assert interrupt.reason == "third"
    assert polls(attachment, 3) == [True, False, False]


def test_a_resumed_execution_has_not_forgotten() -> None:
    """Behaviour 3: a report holds over detaching and attaching again; what was set in between is reported."""
    interrupt, inbox = Interrupt(), Inbox()
    for setting in range(3):
        interrupt.set(setting)
        attachment = interrupt.attach(inbox)
        assert polls(attachment, 2) == [True, False]
        attachment.detach()
        again = interrupt.attach(inbox)
        assert polls(again, 2) == [False, False]
        again.detach()


def test_clear_takes_an_unreported_request_back() -> None:
    """A request that is cleared before it was seen never happened."""
    interrupt = Interrupt()
    attachment = interrupt.attach(Inbox())
    interrupt.set()
    interrupt.clear()
    assert not interrupt.is_set
    assert interrupt.reason is None
    assert not attachment.standing
    assert not attachment.poll()


def test_acknowledge_takes_the_setting_as_reported() -> None:
    """What was acknowledged is not reported; the next setting is."""
    interrupt = Interrupt()
    attachment = interrupt.attach(Inbox())
    interrupt.set()
    attachment.acknowledge()
    assert not attachment.poll()
    interrupt.set()
    assert attachment.poll()


def test_set_wakes_whoever_it_is_attached_to() -> None:
    """Each attached execution is woken and reports for itself; a detached one is left alone."""
    interrupt, inboxes = Interrupt(), [Inbox() for _ in range(3)]
    attachments = [interrupt.attach(inbox) for inbox in inboxes]
    attachments[2].detach()
    attachments[2].detach()
    interrupt.set()
    assert [inbox.woken for inbox in inboxes] == [1, 1, 0]
    assert [inbox.word for inbox in inboxes] == [[1], [1], [0]]
    assert [attachment.poll() for attachment in attachments[:2]] == [True, True]


def test_a_setting_after_the_call_harms_nobody() -> None:
    """Behaviour 7: what is set after a call has ended, or was left over by it, doesn't reach the next execution."""
    interrupt = Interrupt()
    ended = interrupt.attach(Inbox())
    ended.detach()
    interrupt.set()
    later = interrupt.attach(Inbox())
    assert not later.standing
    assert not later.poll()
    interrupt.set()
    assert later.poll()


def test_a_setting_before_the_first_call_stands() -> None:
    """An interrupt set by a thread that was quicker than the call it is meant for isn't lost, and is used up by it."""
    interrupt = Interrupt()
    interrupt.set()
    first = interrupt.attach(Inbox())
    assert first.standing
    assert first.poll()
    first.detach()
    assert not interrupt.attach(Inbox()).poll()


def test_who_joins_is_interrupted_with_the_others() -> None:
    """An execution that begins while the interrupt is in use, set a moment ago, is meant as well."""
    interrupt = Interrupt()
    interrupt.attach(Inbox())
    interrupt.set()
    assert interrupt.attach(Inbox()).poll()


@pytest.mark.parametrize("delay", range(5))
def test_one_of_delay_plus_one_polls_reports(delay: int) -> None:
    """Behaviour 5: in the level form exactly every (D+1)-th poll reports while it is set."""
    interrupt = Interrupt(level=True, delay=delay)
    attachment = interrupt.attach(Inbox())
    assert polls(attachment, 10) == [False] * 10
    interrupt.set()
    period = [False] * delay + [True]
    assert polls(attachment, 4 * (delay + 1)) == period * 4
    assert attachment.standing


def test_the_delay_counts_only_while_set() -> None:
    """MECHANISM 1.2: polls while it is not set don't count, and clearing doesn't reset the count."""
    interrupt = Interrupt(level=True, delay=3)
    attachment = interrupt.attach(Inbox())
    interrupt.set()
    assert polls(attachment, 2) == [False, False]
    interrupt.clear()
    assert polls(attachment, 7) == [False] * 7
    interrupt.set()
    assert polls(attachment, 2) == [False, True]
    attachment.acknowledge()
    assert polls(attachment, 4) == [False, False, False, True]


def test_a_level_is_a_state() -> None:
    """A level that is set is reported by every execution that has the interrupt, whenever it began."""
    interrupt = Interrupt(level=True)
    interrupt.attach(Inbox()).detach()
    interrupt.set()
    attachment = interrupt.attach(Inbox())
    assert polls(attachment, 2) == [True, True]
    interrupt.clear()
    assert not attachment.standing


@pytest.mark.parametrize(("level", "delay"), [(True, -1), (False, 1)])
def test_a_delay_without_sense_is_refused(level: bool, delay: int) -> None:
    """A negative delay, or one in the edge form, is an error at once."""
    with pytest.raises(ValueError, match="delay"):
        Interrupt(level, delay)


def test_a_computing_execution_sees_its_word() -> None:
    """Behaviour 2: an endless computation that polls one word ends when another thread sets the interrupt."""
    interrupt, inbox, running = Interrupt(), Inbox(), threading.Event()
    attachment = interrupt.attach(inbox)

    def compute() -> bool:
        word = inbox.word
        running.set()
        while not word[0]:
            pass
        return attachment.poll()

    computing = in_thread(compute)
    assert running.wait(PATIENCE)
    interrupt.set()
    assert computing.result(PATIENCE)


def test_settings_from_many_threads_are_not_lost() -> None:
    """However sets and polls of several threads fall together, a poll after the last set has something to report."""
    interrupt, inbox = Interrupt(), Inbox()
    attachment = interrupt.attach(inbox)
    for _ in range(50):
        start = threading.Barrier(4)

        def setter(start: threading.Barrier = start) -> None:
            start.wait(PATIENCE)
            interrupt.set()

        setters = [in_thread(setter) for _ in range(3)]
        start.wait(PATIENCE)
        reports = attachment.poll()
        for each in setters:
            each.result(PATIENCE)
        reports |= attachment.poll()
        assert reports
        assert not attachment.poll()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signal here")
def test_set_in_a_signal_handler_amid_set() -> None:
    """A signal handler may set the interrupt while the main thread is setting it: no lock to wait for for ever."""
    interrupt, handled = Interrupt(), list[int]()

    class Interrupted(Inbox):
        def wake(self) -> None:
            super().wake()
            if not handled:
                signal.raise_signal(signal.SIGUSR1)

    def handler(number: int, frame: object) -> None:
        handled.append(number)
        interrupt.set("from the handler")

    attachment = interrupt.attach(Interrupted())
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        interrupt.set("from outside")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handled == [signal.SIGUSR1]
    assert interrupt.reason == "from the handler"
    assert polls(attachment, 2) == [True, False]


def test_an_interrupt_does_not_keep_what_it_has_stopped() -> None:
    """An interrupt that lives as long as the program holds no execution that is over."""
    interrupt, inbox = Interrupt(), Inbox()
    gone = weakref.ref(inbox)
    attachment = interrupt.attach(inbox)
    attachment.detach()
    del inbox, attachment
    gc.collect()
    assert gone() is None


def test_what_it_looks_like() -> None:
    """The representation tells form and state."""
    interrupt = Interrupt(level=True, delay=2)
    interrupt.set()
    assert repr(interrupt) == "<Interrupt level, delay 2, set>"
    assert repr(Interrupt()) == "<Interrupt edge, not set>"
