"""What is shown: live in a terminal, plain lines elsewhere, nothing if nothing is wanted."""

from __future__ import annotations

import io
import signal

import pytest

from gnas.progress import Display, Interrupt, Lines, Screen, display, duration, words

EVENT = {
    "event": "epoch",
    "epoch": 7,
    "phase": "warmup",
    "loss_weights": 1.25,
    "loss_architecture": None,
    "metric_weights": 0.9,
    "metric_architecture": 0.785,
    "entropy": 0.5,
    "genotype": {"aggregate.1": "gcn", "depth": "h2"},
}


def test_a_genotype_in_words():
    genotype = {"aggregate.10": "max", "aggregate.2": "gat", "f1.2": "zero", "f1.1": "dense", "depth": "h2"}
    assert words(genotype) == "aggregate gat max, f1 dense zero, depth h2"
    numbers = {"ratio": 1, "k.1": 0, "k.2": 0.0, "skip": True, "bias": False, "norm": None}
    assert words(numbers) == "ratio 1, k 0 0.0, skip yes, bias no, norm none"


def test_durations():
    assert [duration(s) for s in (0.4, 59.4, 125, 3840)] == ["0 s", "59 s", "2 min 5 s", "1 h 4 min"]


def test_where_there_is_no_terminal_only_lines_are_written():
    file = io.StringIO()
    shown = display(None, file)
    assert type(shown) is Lines
    shown.start("search", 10)
    shown.advance(EVENT, 1)
    shown.end("search: 10 epochs")
    shown.close()
    assert file.getvalue() == "search: 10 epochs\n"


def test_nothing_is_shown_if_nothing_is_wanted():
    shown = display(False)
    assert type(shown) is Display
    shown.start("search")
    shown.advance(EVENT, 1)
    shown.end("search: 10 epochs")


def test_the_live_display_shows_losses_accuracies_and_the_network():
    file = io.StringIO()
    shown = display(True, file)
    assert type(shown) is Screen
    shown.start("search [/b]", 10, 2, "epochs")
    shown.advance(EVENT, 3)
    shown.live.refresh()
    shown.interrupt()
    shown.live.refresh()
    shown.end("search: 3 epochs")
    shown.start("derivation", unit="trainings")
    shown.advance({"event": "depth", "depth": 3, "seed": 1, "metric_architecture": 0.5}, 1, 4)
    shown.close()
    text = file.getvalue()
    for expected in (
        "search",
        "3/10 epochs",
        "epoch  ",
        "7 (warm-up)",
        "weights 1.250",
        "weights 90.0%",
        "architecture 78.5%",
        "50% of the largest entropy",
        "aggregate gcn, depth h2",
        "left",
        "stopping after this step; Ctrl-C again aborts",
        "search: 3 epochs",
        "3, from scratch, seed 1",
        "1/4 trainings",
    ):
        assert expected in text


@pytest.fixture
def pythons_own_interrupts():
    """A test run that was started in the background ignores Ctrl-C; these tests press it."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


def test_the_second_interrupt_aborts(pythons_own_interrupts):
    with Interrupt(Display()) as interrupt:
        assert not interrupt.requested
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_of_interrupts_stays(pythons_own_interrupts):
    def own(number, frame):
        pass

    old = signal.signal(signal.SIGINT, own)
    try:
        with Interrupt(Display()) as interrupt:
            signal.raise_signal(signal.SIGINT)
            assert not interrupt.requested
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, old)
