"""Sources of older versions, target 4.x."""

from . import matrix, workers
from .scenario_flip import run_cells


def _two_clients(settings):
    clients = workers.measured() if settings.full else ["java-4.4.0", "confluent"]
    return list(matrix.cells(clients))


def scenario_source_2_8(lab, settings):
    return run_cells(lab, settings, _two_clients(settings))


scenario_source_2_8.lab = {"source_version": "2.8.2"}


def scenario_source_3_9(lab, settings):
    return run_cells(lab, settings, _two_clients(settings))


scenario_source_3_9.lab = {"source_version": "3.9.2"}
