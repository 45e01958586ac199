"""pytest's fixture ``dfdaemon``: a fake of the test's own.

    def test_a_retry(dfdaemon):
        dfdaemon.fault("stat@call=1:error=UNAVAILABLE")
        ...

    @pytest.mark.dfdaemon("--hosts=2", "--dfdaemon-version=1.5")   # options of fake-dfdaemon serve
    def test_the_later_release(dfdaemon): ...

In the configuration, ``dfdaemon_options`` are those of all tests, and ``dfdaemon_scope = session`` has one
fake for all tests of a process (each worker of xdist is a process), which is not reset between them.
When a test fails, the state directory is kept and named in its report, with the journal.
"""

import shlex
from typing import Any, Generator, Iterator, List

import pytest

from ._daemon import Dfdaemon

_SCOPES = ["function", "class", "module", "package", "session"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("dfdaemon_scope", "how long a fake of the fixture dfdaemon lives", default="function")
    parser.addini("dfdaemon_options", "options of fake-dfdaemon serve, as in a shell", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "dfdaemon(*options): options of fake-dfdaemon serve for the fixture dfdaemon")


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    scope = config.getini("dfdaemon_scope")
    if scope not in _SCOPES:
        raise pytest.UsageError(f"dfdaemon_scope is one of {', '.join(_SCOPES)}, not {scope!r}")
    return scope


def _options(request: pytest.FixtureRequest) -> List[str]:
    options = shlex.split(str(request.config.getini("dfdaemon_options")))
    if request.scope == "function":
        for marker in reversed(list(request.node.iter_markers("dfdaemon"))):
            options.extend(str(option) for option in marker.args)
    return options


@pytest.fixture(scope=_scope)
def dfdaemon(request: pytest.FixtureRequest) -> Iterator[Dfdaemon]:
    """A fake dfdaemon, which accepts calls."""
    with Dfdaemon(*_options(request)) as daemon:
        yield daemon


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    daemon = getattr(item, "funcargs", {}).get("dfdaemon")
    if report.failed and isinstance(daemon, Dfdaemon):
        daemon.keep()
        kept = f"the state is kept in {daemon.state_dir}\nthe journal is {daemon.journal_path}\nits log is {daemon.log}"
        report.sections.append(("fake-dfdaemon", kept))
