"""Applications: native modules of pure functions, one file each; `registry` knows those that exist."""

from node.ledger.apps.app import App, Context, Method, app_prefix
from node.ledger.apps.registry import Apps

__all__ = ["App", "Apps", "Context", "Method", "app_prefix"]
