"""A simulated market of limit order books, with planted and labelled events."""

from venues.lob.feed import LobSimulator as LobSimulator
from venues.lob.labels import LabelRows as LabelRows
from venues.lob.labels import Plant as Plant
from venues.lob.plan import Density as Density
