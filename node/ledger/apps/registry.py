"""The applications this software brings, and the enabled ones of a cluster."""

from collections.abc import Sequence
from typing import Any

from consensus import Value
from node.ledger.apps import records, sharing
from node.ledger.apps.app import App, Method, app_prefix
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation import app as federation
from node.ledger.federation.keys import STATE_PREFIXES
from node.ledger.governance import app as governance
from node.ledger.messaging import Port
from node.ledger.names import check_name
from node.ledger.params import Benchmark
from node.ledger.policy import Policy

AVAILABLE: tuple[App, ...] = (
    *(App(kind.value, ()) for kind in Benchmark),
    App(records.NAME, (*records.METHODS, *sharing.METHODS), sharing.PORTS),
)


RESERVED_NAMES = ("governance", "members", "organisations", "policies", "replay", *STATE_PREFIXES)
"""First parts of state keys that are the ledger's own; no application may have such a name."""


class Apps:
    """The applications enabled by a cluster's parameters; immutable.

    Raises ValueError for a name that this software does not bring, or that is reserved.
    """

    __slots__ = ("_methods", "_ports", "apps")

    def __init__(self, names: Sequence[str], available: Sequence[App] = AVAILABLE) -> None:
        known = {app.name: app for app in available}
        for name in names:
            if name not in known:
                raise ValueError(f"application {name!a:.40} is not available; there are: {', '.join(known)}")
            if check_name(name, "application") in RESERVED_NAMES:
                raise ValueError(f"application {name} has a name reserved for the ledger's own keys")
        self.apps = tuple(known[name] for name in names)
        self._methods = {app.name: {method.name: method for method in app.methods} for app in self.apps}
        self._ports = {port.name: (app_prefix(app.name), port) for app in self.apps for port in app.ports}
        if len(self._ports) != sum(len(app.ports) for app in self.apps):
            raise ValueError("two applications have a port of the same name")

    def method(self, app: str, method: str) -> Method[Any]:
        """Raises RejectedTransaction UNKNOWN_APP or UNKNOWN_METHOD, naming what there is."""
        methods = self._methods.get(app)
        if methods is None:
            raise RejectedTransaction(Code.UNKNOWN_APP, f"no application {app!a:.40}")
        found = methods.get(method)
        if found is None:
            raise RejectedTransaction(
                Code.UNKNOWN_METHOD, f"{app} has no method {method!a:.40}, but {', '.join(methods)}"
            )
        return found

    def port(self, name: str) -> tuple[bytes, Port] | None:
        """The prefix of an application's state keys and its port of this name; None when no enabled one has
        it."""
        return self._ports.get(name)

    def check(self, app: str, method: str, args: tuple[Value, ...], features: Sequence[str] = ()) -> None:
        """What admission asks of a call: pure in it and in the features in force. Raises
        RejectedTransaction."""
        if app == governance.NAME:
            governance.parse(method, args, features)
        elif app == federation.NAME:
            federation.parse(method, args)
        else:
            self.method(app, method).parse(args)

    def default_policies(self) -> tuple[tuple[str, str, Policy], ...]:
        """(app, method, policy) of every method, for a new genesis; sorted."""
        return tuple(
            sorted(
                ((app.name, method.name, method.policy) for app in self.apps for method in app.methods),
                key=lambda entry: entry[:2],
            )
        )
