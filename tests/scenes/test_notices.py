"""The same warning of many scenes is one line and a count."""

import io

from rich.console import Console

from wsss_toolkit.scenes.notices import Notices


def told(*warnings):
    screen = io.StringIO()
    with Notices(Console(file=screen, width=40)) as notices:
        for shown, text in warnings:
            notices.tell(shown, text)
    return screen.getvalue().splitlines()


def test_warnings_that_differ_by_numbers_alone_are_told_once_and_counted():
    doubts = [
        (f"{n}.tif", f"values are off: sentinel2 looks divided by 10000: B02 {n / 7:.3g} (1e-0{n})") for n in range(6)
    ]
    assert told(*doubts, ("x.tif", "lies nowhere")) == [
        "warning: 0.tif: values are off: sentinel2 looks divided by 10000: B02 0 (1e-00)",
        "warning: x.tif: lies nowhere",
        "warning: values are off: the same of 5 other scenes: 1.tif, 2.tif, 3.tif, ...",
    ]


def test_two_are_told_in_full_and_so_are_other_kinds():
    different = [
        ("a", "sentinel2 looks 1000 too high"),
        ("b", "sentinel1 looks linear"),
        ("c", "sentinel1 looks linear"),
    ]
    assert told(*different) == [f"warning: {shown}: {text}" for shown, text in different]
