"""Funding intervals where a venue's messages do not say them, s: what the venues document.

Binance settles most contracts each 8 h, some each 4 h, 2 h or 1 h; of those the rate per 8 h is too
low by the factor between. So does Bybit, but its snapshots say the interval since 2025. Kraken
Futures states the relative rate per hour, Hyperliquid settles each hour, and Deribit states what
accrues in 8 h.
"""

BINANCE_S = 28_800.0
BYBIT_S = 28_800.0
DERIBIT_S = 28_800.0
HYPERLIQUID_S = 3_600.0
KRAKEN_FUTURES_S = 3_600.0
