"""Reading ahead: the same results in the same order, while what came before is used."""

import threading
import time

import pytest

from genre.data.read_ahead import DEPTH, read_ahead


def test_yields_every_result_in_order():
    assert list(read_ahead(iter(range(10)), lambda number: number * number)) == [n * n for n in range(10)]


def test_an_error_is_raised_in_its_place():
    results = read_ahead(iter([2, 1, 0, 1]), lambda number: 2 // number)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_reads_no_further_than_needed_and_stops_with_its_user():
    read = []
    results = read_ahead(iter(range(100)), read.append)
    next(results)
    results.close()
    assert len(read) <= DEPTH + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_a_slow_network_does_not_wait_for_a_slow_reader():
    """A reader of 30 ms beside a network of 40 ms: without threads 43 percent of the time would be waiting."""
    waited, begin = 0.0, time.perf_counter()
    results = read_ahead(iter(range(30)), lambda number: time.sleep(0.03))
    while True:
        asked = time.perf_counter()
        try:
            next(results)
        except StopIteration:
            break
        waited += time.perf_counter() - asked
        time.sleep(0.04)
    assert waited < 0.1 * (time.perf_counter() - begin)
