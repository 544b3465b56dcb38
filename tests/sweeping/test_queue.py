"""Each point is completed once, whichever workers are killed, fail or return late."""

import multiprocessing
import time

import optuna
import pytest
from optuna.trial import TrialState

from genre.errors import UserError
from genre.sweeping import record
from genre.sweeping.grid import Grid
from genre.sweeping.halving import Halving
from genre.sweeping.queue import MAX_LOST_WORKERS, Queue, QueueRules

BASE = {"model.filters": [8], "model.kernel_size": 3, "optimizer.lr": 0.001, "batch_size": 32}
TRACKS = {"counts": {"train": 3, "val": 1, "test": 1}, "sha256": "0"}
GRID = Grid({"model.filters": [[8], [16]], "model.kernel_size": [3, 5]})
QUICK = QueueRules(lease=0.2)
MEDIAN = optuna.pruners.MedianPruner()


@pytest.fixture(params=["journal", "sqlite"])
def join(request, tmp_path):
    """Return a function that opens the sweep as a new worker."""

    def open_queue(base=BASE, tracks=TRACKS, rules=QUICK, axes=GRID.axes, pruner=MEDIAN):
        address = None if request.param == "journal" else f"sqlite:///{tmp_path / 'sweep.db'}"
        queue = Queue(record.open_record(tmp_path, address), "test", base, tracks, rules, pruner)
        queue.refuse_changes(base, list(axes))
        return queue

    return open_queue


def states(queue):
    return [entry.state for entry in queue.entries()]


def test_queueing_the_same_points_again_adds_nothing(join):
    assert join().add(list(GRID.points())) == 4
    assert join().add(list(GRID.points())) == 0
    assert states(join()) == [TrialState.WAITING] * 4


def test_all_workers_get_the_value_that_the_first_proposes(join):
    assert [join().agree_on("precision", lambda value=value: value) for value in ("bf16-mixed", "32-true")] == [
        "bf16-mixed"
    ] * 2


def add_all(folder, barrier):
    queue = Queue(record.open_record(folder, None), "test", BASE, TRACKS, QUICK)
    barrier.wait()
    queue.add(list(GRID.points()))


@pytest.mark.slow
def test_two_workers_that_queue_at_the_same_time_queue_each_point_once(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    barrier = processes.Barrier(2)
    both = [processes.Process(target=add_all, args=(tmp_path, barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
        assert process.exitcode == 0
    assert len(Queue(record.open_record(tmp_path, None), "test", BASE, TRACKS, QUICK).entries()) == 4


def test_two_workers_never_claim_the_same_point(join):
    one, two = join(rules=QueueRules()), join(rules=QueueRules())
    one.add(list(GRID.points()))
    claimed = [worker.claim()[0].trial for worker in (one, two, one, two)]
    assert sorted(claimed) == [0, 1, 2, 3]
    assert one.claim() == [] and len(one.running()) == 4


def test_a_complete_point_is_not_claimed_again(join):
    queue = join()
    queue.add(list(GRID.points()))
    (entry,) = queue.claim()
    assert queue.complete(entry, 0.5, {"seconds": 1.0})
    again = join()
    assert again.add(list(GRID.points())) == 0
    assert {e.trial for e in again.claim(9, lambda point: "all")} == {0, 1, 2, 3} - {entry.trial}
    (done,) = [e for e in again.entries() if e.trial == entry.trial]
    assert done.value == 0.5 and done.attributes["seconds"] == 1.0


def test_points_are_claimed_in_an_order_that_follows_no_axis(join):
    queue = join(rules=QueueRules())
    queue.add(list(Grid({"model.kernel_size": [1, 3, 5, 7], "optimizer.lr": [0.1, 0.2, 0.3, 0.4, 0.5]}).points()))
    order = [queue.claim()[0].trial for _ in range(20)]
    assert sorted(order) == list(range(20)) != order
    assert 5 < sum(order[:10]) / 10 < 14


def test_the_point_of_a_worker_without_heartbeat_is_requeued_and_that_of_a_running_worker_is_not(join):
    lost, running, other = join(), join(), join()
    lost.add(list(GRID.points())[:2])
    (lost_entry,) = lost.claim()
    (entry,) = running.claim()
    with running.heartbeat([entry]):
        assert other.claim() == []
        time.sleep(0.5)
        assert [claimed.trial for claimed in other.claim()] == [lost_entry.trial]
        assert running.owns(entry)


@pytest.mark.parametrize(("direction", "worse", "better"), [("maximize", 0.1, 0.9), ("minimize", 0.9, 0.1)])
def test_a_score_worse_than_the_median_of_five_complete_points_is_not_worth_continuing(join, direction, worse, better):
    queue = join(rules=QueueRules(direction=direction))
    queue.add([{"batch_size": size} for size in range(1, 8)])
    for _ in range(5):
        (entry,) = queue.claim()
        assert queue.report([entry], 1, [0.5]) == [True]
        queue.complete(entry, 0.5, {})
    assert queue.report(queue.claim(), 1, [worse]) == [False]
    assert queue.report(queue.claim(), 1, [better]) == [True]


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_points_of_a_pass_are_judged_when_all_have_reported(join, direction, sign):
    queue = join(rules=QueueRules(direction=direction), pruner=Halving(2, 3, direction))
    queue.add([{"batch_size": size} for size in range(1, 8)])
    together = queue.claim(6, lambda point: "family")
    scores = [sign * score for score in (0.1, 0.6, 0.3, 0.5, 0.4, 0.2)]
    assert queue.report(together, 1, scores) == [True] * 6  # not yet
    assert queue.report(together, 2, scores) == [False, True, False, True, False, False]
    assert queue.report(queue.claim(), 2, [sign * 0.45]) == [False]  # the third of seven


def test_a_point_of_a_lost_worker_is_judged_by_its_new_attempt(join):
    lost, queue = (join(rules=QueueRules(), pruner=Halving(1, 2, "maximize")) for _ in range(2))
    lost.add([{"batch_size": size} for size in range(1, 4)])
    (entry,) = lost.claim()
    assert lost.report([entry], 1, [0.5]) == lost.report([entry], 2, [0.9]) == [True]
    others = queue.claim(2, lambda point: "family")
    lost.release(lost=True)
    assert [again.trial for again in queue.claim()] == [entry.trial]
    assert queue.report(others, 1, [0.6, 0.7]) == [False, True]
    assert queue.report([entry], 1, [0.5]) == [False]  # 0.5 of (0.5 0.6 0.7), whatever the lost attempt had later
    assert queue.complete(entry, 0.5, {"epochs": 1}, pruned=True) and states(queue).count(TrialState.PRUNED) == 1


def test_the_score_of_a_point_that_another_worker_finished_is_ignored(join):
    queue = join(pruner=Halving(1, 2, "maximize"))
    queue.add(list(GRID.points())[:1])
    (entry,) = queue.claim()
    queue.complete(entry, 0.5, {})
    assert queue.report([entry], 1, [0.5]) == [True]


def test_an_interrupted_worker_releases_its_point_at_once(join):
    interrupted = join()
    interrupted.add(list(GRID.points())[:1])
    (entry,) = interrupted.claim()
    interrupted.release()
    (claimed,) = join().claim()
    interrupted.release()
    assert claimed.trial == entry.trial and len(join().running()) == 1


def test_a_worker_that_returns_late_cannot_finish_a_requeued_point(join):
    late, other = join(), join()
    late.add(list(GRID.points())[:1])
    (entry,) = late.claim()
    other.claim()
    time.sleep(0.3)
    (claimed,) = other.claim()
    assert not late.complete(entry, 0.1, {})
    assert other.complete(claimed, 0.9, {})
    assert not late.complete(entry, 0.1, {}) and not late.fail(entry, "late")
    assert [e.value for e in join().entries()] == [0.9]


def test_a_point_that_loses_five_workers_fails(join):
    queue = join()
    queue.add(list(GRID.points())[:1])
    for _ in range(MAX_LOST_WORKERS):
        assert join().claim()
        queue.claim(0)
        time.sleep(0.3)
        queue.claim(0)
    assert states(queue) == [TrialState.FAIL]
    assert "lost 5 times" in queue.entries()[0].attributes["traceback"]


def test_a_point_that_may_have_broken_five_workers_fails_and_until_then_keeps_its_retries(join):
    queue = join()
    queue.add(list(GRID.points())[:1])
    for number in range(MAX_LOST_WORKERS):
        assert states(queue) == [TrialState.WAITING]
        assert queue.claim()
        queue.release(lost=True)
        (entry,) = queue.entries()
        assert entry.attributes["lost_workers"] == number + 1 and "attempts" not in entry.attributes
    assert states(queue) == [TrialState.FAIL]


def test_a_failing_point_is_retried_as_configured_and_records_its_traceback(join):
    queue = join(rules=QueueRules(retries=1))
    queue.add(list(GRID.points())[:1])
    assert queue.fail(queue.claim()[0], "Traceback: first")
    assert not queue.fail(queue.claim()[0], "Traceback: second")
    (entry,) = queue.entries()
    assert (entry.state, entry.attributes["traceback"]) == (TrialState.FAIL, "Traceback: second")
    assert queue.claim() == [] and queue.add(list(GRID.points())[:1]) == 0


def test_raising_the_retries_queues_failed_points_again(join):
    queue = join(rules=QueueRules(retries=0))
    queue.add(list(GRID.points())[:1])
    assert not queue.fail(queue.claim()[0], "Traceback")
    patient = join(rules=QueueRules(retries=1))
    assert patient.add(list(GRID.points())[:1]) == 1
    assert patient.complete(patient.claim()[0], 1.0, {})
    assert states(patient) == [TrialState.COMPLETE]


def test_a_changed_grid_extends_the_sweep(join):
    queue = join()
    queue.add(list(GRID.points()))
    wider = Grid({"model.filters": [[8], [16], [32]], "model.kernel_size": [3, 5, 7], "optimizer.lr": [0.001, 0.01]})
    assert join(axes=wider.axes).add(list(wider.points())) == 18 - 4
    assert len(queue.entries()) == 18


def test_an_axis_of_numbers_accepts_other_kinds_of_values(join):
    join().add([{"batch_size": 16}, {"batch_size": 32}])
    mixed = join()
    assert mixed.add([{"batch_size": None}, {"batch_size": "all"}]) == 2
    assert mixed.add([{"batch_size": [1]}]) == 1
    assert len(mixed.claim(9, lambda point: "all")) == 5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 16, "started with batch_size=32, not 16; leave batch_size as it was"),
        ("trainer.max_epochs", 3, "started with trainer.max_epochs=null, not 3"),
    ],
)
def test_a_changed_base_configuration_is_refused_by_name(join, key, value, message):
    join().add(list(GRID.points()))
    with pytest.raises(UserError, match=message):
        join(base=BASE | {key: value})
    join(base=BASE | {"model.kernel_size": 9})  # axes are not compared


def test_other_tracks_are_refused_with_both_counts(join):
    join()
    with pytest.raises(UserError, match=r"tracks \(train 3, val 1, test 1\), not \(train 2, val 2, test 1\)"):
        join(tracks={"counts": {"train": 2, "val": 2, "test": 1}, "sha256": "1"})
    with pytest.raises(UserError, match=r"that have changed \(their number is the same\)"):
        join(tracks=TRACKS | {"sha256": "2"})


def test_points_of_a_family_are_claimed_together(join):
    queue = join()
    queue.add(list(GRID.points()))
    claimed = queue.claim(3, lambda point: str(point["model.kernel_size"]))
    assert [entry.point["model.kernel_size"] for entry in claimed] == [3, 3]


def test_optuna_reads_the_study_with_its_parameters_by_their_keys(join, tmp_path):
    queue = join()
    queue.add(list(GRID.points()))
    queue.complete(queue.claim()[0], 0.5, {})
    study = optuna.load_study(study_name="test", storage=queue.storage)
    assert study.best_trial.params == {"model.filters": "[8]", "model.kernel_size": 3.0}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense:secret", "grid.storage is not a URL"),
        ("oracle://user:secret@host/name", r"grid.storage"),
        ("postgresql://user:secret@localhost:1/name", r"user:\*\*\*@localhost:1/name cannot be used"),
    ],
)
def test_an_unusable_database_is_a_user_error_without_its_password(tmp_path, address, message):
    pytest.importorskip("psycopg2")
    with pytest.raises(UserError, match=message) as caught:
        record.open_record(tmp_path, address)
    assert "secret" not in str(caught.value)
