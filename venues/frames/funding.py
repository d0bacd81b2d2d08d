"""Funding intervals where a venue's messages do not say them, s: what the venues document.

Binance settles most contracts each 8 h; a REST answer lists those that it settles each 4 h, 2 h or
1 h, and without that answer their rates per 8 h are too low by the factor between. So they are for
Bybit, but its snapshots say the interval since 2025. Kraken Futures states the relative rate per
hour, Hyperliquid settles each hour, Deribit states what accrues in 8 h, and Bitfinex settles each
8 h.
"""

BINANCE_S = 28_800.0
BITFINEX_S = 28_800.0
BYBIT_S = 28_800.0
DERIBIT_S = 28_800.0
HYPERLIQUID_S = 3_600.0
KRAKEN_FUTURES_S = 3_600.0
