from wsss_toolkit.evaluation import stopwatch
from wsss_toolkit.evaluation.stopwatch import Stopwatch


def test_it_measures_the_source_and_not_the_reader(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])

    def items():
        for item in "ab":
            now[0] += 2.0
            yield item
        now[0] += 1.0

    watch, read = Stopwatch(), []
    for item in watch.over(items()):
        now[0] += 100.0
        read.append(item)
    assert (read, watch.items, watch.seconds, watch.per_item()) == (["a", "b"], 2, 5.0, 2.5)


def test_without_items_there_is_no_time_per_item():
    assert Stopwatch().per_item() is None
