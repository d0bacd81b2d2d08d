"""The store: topics of a log as Parquet files, each row in one place, and SQL over them."""

from flows.store.copy import Exported, export, follow
from flows.store.folder import StoreError, StoreFolder
from flows.store.layout import STORED
from flows.store.views import VIEWS, connect, named_topics

__all__ = [
    "STORED",
    "VIEWS",
    "Exported",
    "StoreError",
    "StoreFolder",
    "connect",
    "export",
    "follow",
    "named_topics",
]
