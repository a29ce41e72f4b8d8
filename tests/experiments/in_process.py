"""Cells in the process of the test, which knows the adapters that the test registered."""

from wsss_toolkit.experiments import child


def in_process(work, *arguments):
    """Do what `child.in_child` does, without a child."""
    try:
        work(*arguments)
    except Exception as error:
        return child.failure_of(error)
    return None
