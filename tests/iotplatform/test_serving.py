"""How gunicorn's workers count on where those before them left off."""

import os
from types import SimpleNamespace

from prometheus_client import CollectorRegistry, Counter, Gauge, values
from prometheus_client.multiprocess import MultiProcessCollector

from iotplatform import serving


def test_the_address_of_a_server_may_be_of_either_kind():
    assert serving.address("127.0.0.1", 8000) == "127.0.0.1:8000"
    assert serving.address("::1", 8000) == "[::1]:8000"


def test_a_new_worker_has_the_lowest_number_that_is_free():
    server = SimpleNamespace(WORKERS={})

    def started(pid):
        worker = server.WORKERS[pid] = SimpleNamespace()
        # Before it is one of them.
        del server.WORKERS[pid]
        serving.pre_fork(server, worker)
        server.WORKERS[pid] = worker
        return worker.number

    assert [started(pid) for pid in (10, 11, 12)] == [0, 1, 2]
    del server.WORKERS[11]
    assert [started(13), started(14)] == [1, 3]


def test_however_many_workers_end_there_are_no_more_files(monkeypatch):
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    serving.on_starting(SimpleNamespace())
    place = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    for _ in range(3):
        worker = SimpleNamespace(number=0)
        serving.post_fork(SimpleNamespace(), worker)
        Counter("done", "…", registry=None).inc()
        Gauge("open", "…", registry=None, multiprocess_mode="livesum").set(5)
        serving.child_exit(SimpleNamespace(), worker)
    assert os.listdir(place) == ["counter_0.db"]
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    assert registry.get_sample_value("done_total") == 3
    assert registry.get_sample_value("open") is None
    serving.on_exit(SimpleNamespace())
    assert not os.path.exists(place)
