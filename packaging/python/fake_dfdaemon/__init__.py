"""A dfdaemon for tests: starts the program fake-dfdaemon that this package brings, and talks to it.

    with Dfdaemon("--hosts=2") as dfdaemon:
        task = dfdaemon.import_file("file.txt")
        with dfdaemon.fault("stat:error=UNAVAILABLE"):
            ...
        assert dfdaemon.journal(rpc="import")[0].status == "OK"

pytest finds the fixture ``dfdaemon`` by itself: see ``fake_dfdaemon.pytest_plugin``.
"""

from ._control import ControlError
from ._daemon import Call, Clock, Dfdaemon, Fault, StartError, executable

__all__ = ["Call", "Clock", "ControlError", "Dfdaemon", "Fault", "StartError", "executable"]
