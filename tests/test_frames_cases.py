"""Promise: what a venue says is what the rows say, and what it may not say is named.

One table per venue, frames as the venue's documentation shows them. `what | frame | said`; the
frames of a table go through one parser in order, since some venues name their channels only once.
"""

# ruff: noqa: E501 (frames are one line each, as they come)

import pytest

from schemas.kinds import NO_SYMBOL
from tests.frame_text import RECV_NS, said, times
from venues.frames import PARSERS, Event, NoParserError, parser_for
from venues.frames.parsed import NO_SEQ
from venues.frames.parser import INSTRUMENTS_MAX
from venues.frames.venue import Use

# fmt: off
BINANCE = [
    ("changed levels",           '{"e":"depthUpdate","E":1700000000002,"T":1700000000001,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["60.10","10"],["60.00","0.000"]],"a":[["60.20","1.5"]]}',
                                 "bid 60.1 x 10 bid 60 x 0 ask 60.2 x 1.5 |"),
    ("in a combined stream",     '{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":161,"u":161,"pu":160,"b":[],"a":[["60.2","0"]]}}',
                                 "ask 60.2 x 0 |"),
    ("nothing changed",          '{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":162,"u":162,"pu":161,"b":[],"a":[]}', ""),
    ("best quote",               '{"e":"bookTicker","u":4,"s":"BTCUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66","T":1568014460891,"E":1568014460893}',
                                 "quote 25.35 x 31.21 / 25.36 x 40.66 |"),
    ("best quote of spot",       '{"u":4,"s":"BTCUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}',
                                 "quote 25.35 x 31.21 / 25.36 x 40.66 |"),
    ("the seller hit the bid",   '{"e":"trade","E":3,"s":"BTCUSDT","t":5,"p":"0.001","q":"100","T":2,"m":true}', "sell 0.001 x 100 |"),
    ("the buyer took the ask",   '{"e":"aggTrade","E":3,"a":7,"s":"BTCUSDT","p":"0.001","q":"100","f":1,"l":2,"T":2,"m":false}', "buy 0.001 x 100 |"),
    ("a bar so far",             '{"e":"kline","E":3,"s":"BTCUSDT","k":{"t":60000,"T":119999,"o":"1","h":"2","l":"0.5","c":"1.5","v":"10","x":false}}',
                                 "superseded kline: the bar is still open"),
    ("a closed bar",             '{"e":"kline","E":3,"s":"BTCUSDT","k":{"t":60000,"T":119999,"o":"1","h":"2","l":"0.5","c":"1.5","v":"10","x":true}}',
                                 "bar 1 2 0.5 1.5 v 10 60s |"),
    ("mark price and funding",   '{"e":"markPriceUpdate","E":3,"s":"BTCUSDT","p":"60.5","i":"60.6","r":"0.0001","T":9}',
                                 "mark 60.5 index 60.6 funding 0.0001 every 28800s |"),
    ("no funding",               '{"e":"markPriceUpdate","E":3,"s":"BTCUSDT","p":"60.5","i":"60.6","r":"","T":0}', "mark 60.5 index 60.6 |"),
    ("a bar upside down",        '{"e":"kline","E":3,"s":"BTCUSDT","k":{"t":60000,"T":119999,"o":"1","h":"1.2","l":"0.5","c":"1.5","v":"10","x":true}}',
                                 "quarantined kline: kline: open 1.0 or close 1.5 is not within low 0.5 and high 1.2"),
    ("a bar that ends first",    '{"e":"kline","E":3,"s":"BTCUSDT","k":{"t":60000,"T":59999,"o":"1","h":"2","l":"0.5","c":"1.5","v":"10","x":true}}',
                                 "quarantined kline: kline: the bar closes at 59999 ms, before it opens at 60000 ms"),
    ("REST snapshot",            '{"lastUpdateId":170,"bids":[["60.1","1"]],"asks":[["60.2","2"]]}', "S bid 60.1 x 1 S ask 60.2 x 2 |"),
    ("answer to subscription",   '{"result":null,"id":1}', "control subscribed"),
    ("not used",                 '{"e":"24hrTicker","E":1,"s":"BTCUSDT","p":"-1"}', "known_unused 24hrTicker"),
    ("a type of tomorrow",       '{"e":"orderEvent","s":"BTCUSDT"}', "quarantined unknown: unknown: message type 'orderEvent' is not known"),
    ("a price that is none",     '{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":1,"u":2,"b":[["60.1","1"],["nan","1"]],"a":[]}',
                                 "quarantined depthUpdate: depthUpdate: Expected `float` > 0.0 - at `$.b[1][0]`"),
    ("a size of NaN",            '{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":1,"u":2,"b":[["60.1","nan"]],"a":[]}',
                                 "quarantined depthUpdate: depthUpdate: Expected `float` >= 0.0 - at `$.b[0][1]`"),
    ("a negative size",          '{"e":"trade","E":3,"s":"BTCUSDT","t":5,"p":"1","q":"-1","T":2,"m":true}',
                                 "quarantined trade: trade: Expected `float` >= 0.0 - at `$.q`"),
    ("an infinite price",        '{"e":"trade","E":3,"s":"BTCUSDT","t":5,"p":"inf","q":"1","T":2,"m":true}',
                                 "quarantined trade: trade: Expected `float` <= 1000000000000.0 - at `$.p`"),
    ("a huge price",             '{"e":"trade","E":3,"s":"BTCUSDT","t":5,"p":1e300,"q":"1","T":2,"m":true}',
                                 "quarantined trade: trade: Expected `float` <= 1000000000000.0 - at `$.p`"),
    ("a missing field",          '{"e":"trade","E":3,"s":"BTCUSDT","t":5,"q":"1","T":2,"m":true}',
                                 "quarantined trade: trade: Object missing required field `p`"),
    ("a list for a number",      '{"e":"trade","E":3,"s":"BTCUSDT","t":5,"p":[],"q":"1","T":2,"m":true}',
                                 "quarantined trade: trade: Expected `float`, got `array` - at `$.p`"),
    ("an id beyond int64",       '{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":1,"u":9223372036854775808,"b":[],"a":[]}',
                                 "quarantined depthUpdate: depthUpdate: Expected `int` <= 9223372036854775807 - at `$.u`"),
    ("numbers that run back",    '{"e":"depthUpdate","E":2,"s":"BTCUSDT","U":9,"u":8,"b":[],"a":[]}', "quarantined depthUpdate: depthUpdate: u 8 is below U 9"),
    ("half a frame",             '{"e":"trade","E":3,"s":"BTC', "quarantined unknown: unknown: Input data was truncated"),
    ("no frame",                 '', "quarantined unknown: unknown: Input data was truncated"),
]
KRAKEN = [
    ("what was subscribed",      '{"method":"subscribe","result":{"channel":"book","depth":25,"symbol":"BTC/USD"},"success":true}', "control subscribe"),
    ("snapshot",                 '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":60.10,"qty":0.00005100}],"asks":[{"price":60.2,"qty":2}],"checksum":7}]}',
                                 "S bid 60.1 x 5.1e-05 S ask 60.2 x 2 |"),
    ("a level goes",             '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":60.2,"qty":0.00000000}],"checksum":7,"timestamp":"2026-08-16T23:37:05.376419Z"}]}',
                                 "ask 60.2 x 0 |"),
    ("two trades",               '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":60.2,"qty":1,"ord_type":"limit","trade_id":1,"timestamp":"2026-08-16T23:37:05Z"},{"symbol":"BTC/USD","side":"sell","price":60.1,"qty":2,"ord_type":"limit","trade_id":2,"timestamp":"2026-08-16T23:37:05Z"}]}',
                                 "buy 60.2 x 1 sell 60.1 x 2 |"),
    ("one of two is bad",        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":60.2,"qty":1,"trade_id":1,"timestamp":"2026-08-16T23:37:05Z"},{"symbol":"BTC/USD","side":"hold","price":60.1,"qty":2,"trade_id":2,"timestamp":"2026-08-16T23:37:05Z"}]}',
                                 "buy 60.2 x 1 | refused 1: trade: element 1: side 'hold' is neither buy nor sell"),
    ("trades of before",         '{"channel":"trade","type":"snapshot","data":[]}', "superseded trade: trades from before the subscription"),
    ("a price as text",          '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":"60.1","qty":1}],"asks":[],"checksum":7}]}',
                                 'quarantined book: book: Expected a number, got `"60.1"` - at `$.bids[0].price`'),
    ("a negative size",          '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":60.1,"qty":-1}],"asks":[],"checksum":7}]}',
                                 "quarantined book: book: Expected a number, got `-1` - at `$.bids[0].qty`"),
    ("a price of nothing",       '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":0.0,"qty":1}],"asks":[],"checksum":7}]}',
                                 "quarantined book: book: Expected a price > 0, got `0.0` - at `$.bids`"),
    ("heartbeat",                '{"channel":"heartbeat"}', "control heartbeat"),
    ("a bar so far",             '{"channel":"ohlc","type":"update","data":[]}', "known_unused ohlc"),
]
KRAKEN_V1 = [
    ("snapshot",                 '[464,{"as":[["60.20000","0.15000000","1618678117.243818"]],"bs":[["60.10000","1.00000000","1618678093.1"]]},"book-1000","XBT/USD"]',
                                 "S bid 60.1 x 1 S ask 60.2 x 0.15 |"),
    ("one side",                 '[464,{"a":[["60.20000","0.00000000","1618678118.000001"],["60.30000","2.0","1618678117.5","r"]],"c":"974947235"},"book-1000","XBT/USD"]',
                                 "ask 60.2 x 0 ask 60.3 x 2 |"),
    ("both sides",               '[464,{"a":[["60.40000","1.0","1618678118.1"]]},{"b":[["60.00000","3.0","1618678118.2"]],"c":"1"},"book-1000","XBT/USD"]',
                                 "bid 60 x 3 ask 60.4 x 1 |"),
    ("trade",                    '[337,[["60.2","0.5","1534614057.321597","b","l",""]],"trade","XBT/USD"]', "buy 60.2 x 0.5 |"),
    ("ticker",                   '[340,{"a":["60.2",1,"1.5"],"b":["60.1",2,"2.5"],"c":["60","1"]},"ticker","XBT/USD"]', "quote 60.1 x 2.5 / 60.2 x 1.5 |"),
    ("a number for a text",      '[464,{"a":[[60.2,"1.0","1618678118.1"]],"c":"1"},"book-1000","XBT/USD"]', "quarantined book: book: Expected `str`, got `float` - at `$.a[0][0]`"),
    ("neither a nor b",          '[464,{"x":[],"c":"1"},"book-1000","XBT/USD"]', "quarantined book: book: Object contains unknown field `x`"),
    ("heartbeat",                '{"event":"heartbeat"}', "control heartbeat"),
    ("too short",                '[464,{}]', "quarantined unknown: unknown: Expected `array` of 4 or 5, got 2"),
]
KRAKEN_FUTURES = [
    ("snapshot",                 '{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,"bids":[{"price":34892.5,"qty":6385}],"asks":[{"price":34911.5,"qty":20598}]}',
                                 "S bid 34892.5 x 6385 S ask 34911.5 x 20598 |"),
    ("one level",                '{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326072250,"price":34981,"qty":0,"timestamp":1612269953629}', "ask 34981 x 0 |"),
    ("trade",                    '{"feed":"trade","product_id":"PI_XBTUSD","uid":"x","side":"sell","type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}', "sell 34969.5 x 15000 |"),
    ("trades of before",         '{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[]}', "superseded trade_snapshot: trades from before the subscription"),
    ("prices only",              '{"feed":"ticker_lite","product_id":"PI_XBTUSD","bid":34932,"ask":34949.5}', "quote 34932 x nan / 34949.5 x nan |"),
    ("figures of a perpetual",   '{"feed":"ticker","product_id":"PI_XBTUSD","time":1612270825253,"bid":34832.5,"ask":34847.5,"bid_size":42864,"ask_size":2300,"markPrice":34844.25,"index":34803.45,"openInterest":107706940,"funding_rate":3.9e-09,"relative_funding_rate":0.000135}',
                                 "quote 34832.5 x 42864 / 34847.5 x 2300 mark 34844.25 index 34803.45 oi 107706940 funding 0.000135 every 3600s |"),
    ("no side",                  '{"feed":"book","product_id":"PI_XBTUSD","side":"up","seq":1,"price":1,"qty":0,"timestamp":1}', "quarantined book: book: side 'up' is neither buy nor sell"),
    ("subscribed",               '{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}', "control subscribed"),
]
COINBASE = [
    ("snapshot",                 '{"type":"snapshot","product_id":"BTC-USD","bids":[["60.1","1.5"]],"asks":[["60.2","2"]]}', "S bid 60.1 x 1.5 S ask 60.2 x 2 |"),
    ("changes of both sides",    '{"type":"l2update","product_id":"BTC-USD","time":"2019-08-14T20:42:27.265Z","changes":[["sell","60.2","0"],["buy","60.15","1"]]}', "bid 60.15 x 1 ask 60.2 x 0 |"),
    ("the maker sold",           '{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"m","taker_order_id":"t","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5","price":"400","side":"sell"}', "buy 400 x 5 |"),
    ("the match before",         '{"type":"last_match","trade_id":9}', "superseded last_match: the trade before the subscription"),
    ("ticker",                   '{"type":"ticker","sequence":1,"product_id":"BTC-USD","best_bid":"60.1","best_ask":"60.2","time":"2021-04-17T16:43:30Z"}', "quote 60.1 x nan / 60.2 x nan |"),
    ("neither side",             '{"type":"l2update","product_id":"BTC-USD","time":"2019-08-14T20:42:27Z","changes":[["both","60.2","0"]]}', "quarantined l2update: l2update: side 'both' is neither buy nor sell"),
    ("a time before all time",   '{"type":"l2update","product_id":"BTC-USD","time":"1019-08-14T20:42:27Z","changes":[]}', "quarantined l2update: l2update: time 1019-08-14T20:42:27+00:00 is not between 1970 and 2262"),
    ("error",                    '{"type":"error","message":"no"}', "control error"),
    ("no type",                  '{"product_id":"BTC-USD"}', "quarantined unknown: unknown: Object missing required field `type`"),
]
BITSTAMP = [
    ("diff",                     '{"data":{"timestamp":"1641343691","microtimestamp":"1641343691355099","bids":[],"asks":[["0.00002921","3213.7"],["0.00002922","0"]]},"channel":"diff_order_book_batbtc","event":"data"}',
                                 "ask 2.921e-05 x 3213.7 ask 2.922e-05 x 0 |"),
    ("trade",                    '{"data":{"id":216,"timestamp":"1641343699","amount":0.0792,"amount_str":"0.07920000","price":3805.44,"price_str":"3805.44","type":0,"microtimestamp":"1641343699596000"},"channel":"live_trades_ethusd","event":"trade"}', "buy 3805.44 x 0.0792 |"),
    ("neither side",             '{"data":{"id":216,"amount_str":"1","price_str":"3805.44","type":2,"microtimestamp":"1641343699596000"},"channel":"live_trades_ethusd","event":"trade"}', "quarantined live_trades: live_trades: type 2 is neither 0 (buy) nor 1 (sell)"),
    ("subscribed",               '{"event":"bts:subscription_succeeded","channel":"live_trades_ethusd","data":{}}', "control bts:subscription_succeeded"),
]
BITFINEX = [
    ("channels are named once",  '{"event":"subscribed","channel":"book","chanId":7,"symbol":"tBTCUSD","prec":"P0","freq":"F0","len":"25","pair":"BTCUSD"}', "control subscribed"),
    ("and this one",             '{"event":"subscribed","channel":"trades","chanId":8,"symbol":"tBTCUSD","pair":"BTCUSD"}', "control subscribed"),
    ("and this one by order",    '{"event":"subscribed","channel":"book","chanId":9,"symbol":"tETHUSD","prec":"R0","freq":"F0","len":"25","pair":"ETHUSD"}', "control subscribed"),
    ("snapshot",                 '[7,[[60.1,2,1.5],[60.2,1,-2]],1]', "S bid 60.1 x 1.5 S ask 60.2 x 2 |"),
    ("a level goes",             '[7,[60.2,0,-1],2]', "ask 60.2 x 0 |"),
    ("heartbeat",                '[7,"hb",3]', "control hb"),
    ("a trade",                  '[8,"te",[401,1574694475039,-0.5,60.1],4]', "sell 60.1 x 0.5 |"),
    ("the same trade again",     '[8,"tu",[401,1574694475039,-0.5,60.1],5]', "superseded tu: the trade was told by te"),
    ("orders",                   '[9,[[1001,10.5,2],[1002,10.6,-3]]]', "S set #1001 bid 10.5 x 2 S set #1002 ask 10.6 x 3 |"),
    ("an order goes",            '[9,[1002,0,-1]]', "delete #1002 ask 10.6 x 0 |"),
    ("a stranger goes",          '[9,[1002,0,-1]]', "quarantined book R0: book R0: order 1002 leaves, but was not known"),
    ("a derivative's status",    '{"event":"subscribed","channel":"status","chanId":335856,"key":"deriv:tBTCF0:USTF0"}', "control subscribed"),
    ("and its figures",          '[335856,[1596124822000,null,0.896,0.771995,null,1396531.67460709,null,1596153600000,0.0001056,6,null,-0.01381344,null,null,0.7664,null,null,246502.09001551,null,null,null,null,0.3],7]',
                                 "mark 0.7664 index 0.771995 oi 246502.090016 funding -0.01381344 every 28800s |"),
    ("some of them",             '[335856,[1596124822000,null,null,null,null,null,null,null,null,null,null,null,null,null,0.7664,null,null,null]]', "mark 0.7664 index nan |"),
    ("a status cut short",       '[335856,[1596124822000,null,0.896,0.77]]', "quarantined status: status: Expected `array` of at least length 18, got 4"),
    ("an unknown channel",       '[10,[60.2,0,-1]]', "quarantined unknown: unknown: channel 10 was not subscribed"),
    ("no side",                  '[7,[60.2,1,0],6]', "quarantined book: book: Expected an amount other than 0: its sign is the side"),
]
BYBIT = [
    ("snapshot",                 '{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["60.1","1"]],"a":[["60.2","2"]],"u":18521288,"seq":7},"cts":1672304484976}', "S bid 60.1 x 1 S ask 60.2 x 2 |"),
    ("delta",                    '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["60.1","0"]],"a":[],"u":18521289,"seq":8},"cts":1687940967464}', "bid 60.1 x 0 |"),
    ("trades",                   '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"60.2","i":"x"}]}', "buy 60.2 x 0.001 |"),
    ("some figures",             '{"topic":"tickers.BTCUSDT","type":"delta","ts":1673272861686,"data":{"symbol":"BTCUSDT","markPrice":"60.3","fundingRate":"-0.0002"}}', "mark 60.3 index nan funding -0.0002 every 28800s |"),
    ("funded each 4 h",          '{"topic":"tickers.ETHUSDT","type":"snapshot","ts":1673272861686,"data":{"symbol":"ETHUSDT","fundingRate":"-0.0002","fundingIntervalHour":"4"}}', "funding -0.0002 every 14400s |"),
    ("still each 4 h",           '{"topic":"tickers.ETHUSDT","type":"delta","ts":1673272861686,"data":{"symbol":"ETHUSDT","fundingRate":"-0.0003"}}', "funding -0.0003 every 14400s |"),
    ("an index, no mark yet",    '{"topic":"tickers.XRPUSDT","type":"delta","ts":1673272861686,"data":{"symbol":"XRPUSDT","indexPrice":"60.4"}}', ""),
    ("a whole ticker",           '{"topic":"tickers.XRPUSDT","type":"snapshot","data":{"symbol":"XRPUSDT","tickDirection":"PlusTick","lastPrice":"17216.00","markPrice":"17217.33","indexPrice":"17227.36","openInterest":"68744.761","openInterestValue":"1183601235.91","nextFundingTime":"1673280000000","fundingRate":"-0.000212","bid1Price":"17215.50","bid1Size":"84.489","ask1Price":"17216.00","ask1Size":"83.020","fundingIntervalHour":"1"},"cs":24987956059,"ts":1673272861686}',
                                 "mark 17217.33 index 17227.36 oi 68744.761 funding -0.000212 every 3600s |"),
    ("the index alone",          '{"topic":"tickers.XRPUSDT","type":"delta","ts":1673272861786,"data":{"symbol":"XRPUSDT","indexPrice":"17227.4"}}', "mark 17217.33 index 17227.4 |"),
    ("the mark alone",           '{"topic":"tickers.XRPUSDT","type":"delta","ts":1673272861796,"data":{"symbol":"XRPUSDT","markPrice":"17217.5"}}', "mark 17217.5 index 17227.4 |"),
    ("nothing of ours",          '{"topic":"tickers.XRPUSDT","type":"delta","ts":1673272861886,"data":{"symbol":"XRPUSDT","bid1Size":"84.4"}}', ""),
    ("a dated contract",         '{"topic":"tickers.BTC-26JUN26","type":"snapshot","ts":1673272861686,"data":{"symbol":"BTC-26JUN26","markPrice":"17217","indexPrice":"17227","openInterest":"1","fundingRate":"","fundingIntervalHour":"","nextFundingTime":""}}', "mark 17217 index 17227 oi 1 |"),
    ("no hours",                 '{"topic":"tickers.ETHUSDT","type":"delta","ts":1673272861686,"data":{"symbol":"ETHUSDT","fundingRate":"-0.0003","fundingIntervalHour":"0"}}', "quarantined tickers: tickers: Expected `float` > 0.0"),
    ("an open bar",              '{"topic":"kline.5.BTCUSDT","type":"snapshot","ts":1,"data":[{"start":1,"end":300000,"open":"1","close":"1","high":"1","low":"1","volume":"2","confirm":false}]}', "superseded kline: the bar is still open"),
    ("a book of 2021",           '{"topic":"orderBookL2_25.EOSUSD","type":"delta","data":{"delete":[{"price":"7.967","symbol":"EOSUSD","id":79670,"side":"Buy"}],"update":[],"insert":[{"price":"7.969","symbol":"EOSUSD","id":79690,"side":"Buy","size":1615}]},"cross_seq":1225777287,"timestamp_e6":1618677787638125}', "bid 7.967 x 0 bid 7.969 x 1615 |"),
    ("another depth",            '{"topic":"orderbook.33.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":[],"a":[],"u":2,"seq":8}}', "quarantined orderbook: orderbook: topic 'orderbook.33.BTCUSDT' is not orderbook.N.SYMBOL"),
    ("another symbol",           '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"s":"ETHUSDT","b":[],"a":[],"u":2,"seq":8}}', "quarantined orderbook: orderbook: s 'ETHUSDT' is not the topic's 'BTCUSDT'"),
    ("subscribed",               '{"success":true,"ret_msg":"","conn_id":"x","op":"subscribe"}', "control subscribe"),
]
OKX = [
    ("snapshot",                 '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{"asks":[["60.2","2","0","1"]],"bids":[["60.1","1","0","2"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":-1,"seqId":123456}]}', "S bid 60.1 x 1 S ask 60.2 x 2 |"),
    ("nothing, to stay alive",   '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],"ts":"1597026383085","checksum":0,"prevSeqId":123456,"seqId":123456}]}', ""),
    ("trade",                    '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130","px":"42219.9","sz":"0.12","side":"buy","ts":"1630048897897"}]}', "buy 42219.9 x 0.12 |"),
    ("ticker",                   '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","askPx":"9999.99","askSz":"11","bidPx":"8888.88","bidSz":"5","ts":"1597026383085"}]}', "quote 8888.88 x 5 / 9999.99 x 11 |"),
    ("funding",                  '{"arg":{"channel":"funding-rate","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","fundingRate":"0.0001","fundingTime":"1744590349506","nextFundingTime":"1744619149506","ts":"1744590349506"}]}', "funding 0.0001 every 28800s |"),
    ("funding each hour",        '{"arg":{"channel":"funding-rate","instId":"X-USDT-SWAP"},"data":[{"instId":"X-USDT-SWAP","instType":"SWAP","method":"current_period","fundingRate":"-0.0004","nextFundingRate":"","fundingTime":"1744588800000","nextFundingTime":"1744592400000","ts":"1744588349506"}]}', "funding -0.0004 every 3600s |"),
    ("funding times run back",   '{"arg":{"channel":"funding-rate","instId":"X-USDT-SWAP"},"data":[{"instId":"X-USDT-SWAP","fundingRate":"0.0001","fundingTime":"1744592400000","nextFundingTime":"1744588800000","ts":"1"}]}', "quarantined funding-rate: funding-rate: element 0: nextFundingTime 1744588800000 is not after 1744592400000"),
    ("a mark, no index yet",     '{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"42310.6","ts":"1630049139746"}]}', "mark 42310.6 index nan |"),
    ("an index",                 '{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"42300.5","high24h":"1","low24h":"1","open24h":"1","sodUtc0":"1","sodUtc8":"1","ts":"1630049139700"}]}', ""),
    ("a mark, with its index",   '{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","markPx":"42310.7","ts":"1630049139946"}]}', "mark 42310.7 index 42300.5 |"),
    ("another's index",          '{"arg":{"channel":"mark-price","instId":"BTC-USD-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USD-SWAP","markPx":"42310.8","ts":"1630049139946"}]}', "mark 42310.8 index nan |"),
    ("an index of nothing",      '{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"0"}]}', "quarantined index-tickers: index-tickers: Expected `float` > 0.0 - at `$.idxPx`"),
    ("open interest",            '{"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","oi":"2125419.14","oiCcy":"21254.1914","ts":"1630049139746"}]}', "oi 2125419.14 |"),
    ("a size in words",          '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["60.2","two","0","1"]],"bids":[],"ts":"1","checksum":1}]}', "quarantined books: books: Expected digits as text - at `$.asks[0][1]`"),
    ("each trade",               '{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"130","px":"42219.9","sz":"0.12","side":"sell","source":"0","ts":"1630048897897"}]}', "sell 42219.9 x 0.12 |"),
    ("alive",                    'pong', "control pong"),
    ("bars so far",              '{"arg":{"channel":"candle1D","instId":"BTC-USDT"},"data":[]}', "known_unused candle"),
]
DERIBIT = [
    ("snapshot",                 '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{"type":"snapshot","timestamp":1699999999000,"instrument_name":"BTC-PERPETUAL","change_id":5,"bids":[["new",60.1,10.0]],"asks":[]}}}', "S bid 60.1 x 10 |"),
    ("the book is empty",        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.X.raw","data":{"type":"snapshot","timestamp":1,"instrument_name":"X","change_id":5,"bids":[],"asks":[]}}}', "S bid 1 x 0 |"),
    ("change",                   '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{"type":"change","timestamp":1,"prev_change_id":5,"instrument_name":"BTC-PERPETUAL","change_id":6,"bids":[["delete",60.1,0.0]],"asks":[["new",60.2,1.0]]}}}', "bid 60.1 x 0 ask 60.2 x 1 |"),
    ("no number before",         '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{"type":"change","timestamp":1,"instrument_name":"BTC-PERPETUAL","change_id":6,"bids":[],"asks":[]}}}', "quarantined book: book: Object missing required field `prev_change_id`"),
    ("trades",                   '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.raw","data":[{"timestamp":1765531356452,"price":92294.5,"amount":10.0,"direction":"sell","instrument_name":"BTC-PERPETUAL","trade_seq":1}]}}', "sell 92294.5 x 10 |"),
    ("nobody bids",              '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.X","data":{"timestamp":1,"instrument_name":"X","best_ask_price":0.1,"best_bid_price":0.0,"best_ask_amount":3.0,"best_bid_amount":0.0}}}', "quote nan x nan / 0.1 x 3 |"),
    ("an option's figures",      '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-26MAR27-56000-C.agg2","data":{"timestamp":1,"instrument_name":"BTC-26MAR27-56000-C","best_ask_price":0.1,"best_bid_price":0.05,"best_ask_amount":3.0,"best_bid_amount":1.0,"mark_price":0.07,"index_price":2006.7,"open_interest":12685.0}}}', "quote 0.05 x 1 / 0.1 x 3 mark 0.07 index nan oi 12685 |"),
    ("an option's quote",        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-26MAR27-56000-C","data":{"timestamp":2,"instrument_name":"BTC-26MAR27-56000-C","best_ask_price":0.1,"best_bid_price":0.06,"best_ask_amount":3.0,"best_bid_amount":1.0}}}', "quote 0.06 x 1 / 0.1 x 3 |"),
    ("then no other quotes",     '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-26MAR27-56000-C.agg2","data":{"timestamp":1,"instrument_name":"BTC-26MAR27-56000-C","best_ask_price":0.1,"best_bid_price":0.05,"best_ask_amount":3.0,"best_bid_amount":1.0,"bid_iv":41.2,"ask_iv":60.5,"mark_iv":50.1,"underlying_price":2010.0,"underlying_index":"BTC-26MAR27","greeks":{"vega":1.0},"mark_price":0.07,"index_price":2006.7,"open_interest":12685.0}}}', "mark 0.07 index nan oi 12685 |"),
    ("a perpetual's figures",    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.100ms","data":{"timestamp":1765541474086,"state":"open","index_price":92263.55,"instrument_name":"BTC-PERPETUAL","last_price":92283.5,"open_interest":1132329370.0,"mark_price":92281.78,"best_ask_price":92284.0,"best_bid_price":92283.5,"best_ask_amount":186520.0,"best_bid_amount":117660.0,"current_funding":0.0,"funding_8h":1.742e-05}}}',
                                 "quote 92283.5 x 117660 / 92284 x 186520 mark 92281.78 index 92263.55 oi 1132329370 funding 0 every 28800s |"),
    ("answer",                   '{"jsonrpc":"2.0","id":0,"result":["book.BTC-PERPETUAL.raw"]}', "control answer"),
    ("grouped levels",           '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.none.10.100ms","data":{}}}', "known_unused book grouped"),
]
GEMINI = [
    ("the first is a snapshot",  '{"type":"l2_updates","symbol":"BTCUSD","changes":[["buy","60.1","1"],["sell","60.2","2"]],"trades":[],"auction_events":[]}', "S bid 60.1 x 1 S ask 60.2 x 2 |"),
    ("changes",                  '{"type":"l2_updates","symbol":"BTCUSD","changes":[["sell","60.2","0"]]}', "ask 60.2 x 0 |"),
    ("trade",                    '{"type":"trade","symbol":"BTCUSD","event_id":3575573053,"timestamp":151231241,"price":"9004.21","quantity":"0.09","side":"buy"}', "buy 9004.21 x 0.09 |"),
    ("heartbeat",                '{"type":"heartbeat","timestamp":1549054390000}', "control heartbeat"),
    ("bars",                     '{"type":"candles_1m_updates","symbol":"BTCUSD","changes":[]}', "known_unused candles"),
    ("an amount, no mark yet",   '{"type":"funding_amount_updates","symbol":"BTCGUSDPERP","changes":[{"timestamp":1673932380007696874,"funding_amount":"2.5","funding_date_time":1673935200000000000,"funding_interval_in_minutes":60,"is_realized":false}]}',
                                 "quarantined funding_amount_updates: funding_amount_updates: element 0: an amount is no rate before a mark price is known"),
    ("mark and index",           '{"type":"mark_price_updates","symbol":"BTCGUSDPERP","changes":[{"timestamp":1673932381478308169,"mark_price":"20000","spot_index":"21175.27333"}]}', "mark 20000 index 21175.27333 |"),
    ("an amount as a rate",      '{"type":"funding_amount_updates","symbol":"BTC-GUSD-PERP","changes":[{"timestamp":1673932382007696874,"funding_amount":"-2.5","funding_date_time":1673935200000000000,"funding_interval_in_minutes":60,"is_realized":false}]}', "funding -0.000125 every 3600s |"),
    ("an amount of thousands",   '{"type":"funding_amount_updates","symbol":"BTCGUSDPERP","changes":[{"timestamp":1,"funding_amount":"9e9","funding_interval_in_minutes":60}]}',
                                 "quarantined funding_amount_updates: funding_amount_updates: element 0: Expected `float` <= 100.0"),
    ("error",                    '{"result":"error","reason":"InvalidJson"}', "control error"),
]
HYPERLIQUID = [
    ("always the whole book",    '{"channel":"l2Book","data":{"coin":"BTC","time":1737918843893,"levels":[[{"px":"60.1","sz":"1","n":5}],[{"px":"60.2","sz":"2","n":1}]]}}', "S bid 60.1 x 1 S ask 60.2 x 2 |"),
    ("trades",                   '{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"60.1","sz":"0.5","time":1,"hash":"0x","tid":9}]}', "sell 60.1 x 0.5 |"),
    ("no offer",                 '{"channel":"bbo","data":{"coin":"BTC","time":1,"bbo":[{"px":"60.1","sz":"1","n":1},null]}}', "quote 60.1 x 1 / nan x nan |"),
    ("figures",                  '{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"markPx":"60.5","oraclePx":"60.6","openInterest":"7","funding":"0.0000125"}}}',
                                 "mark 60.5 index 60.6 oi 7 funding 1.25e-05 every 3600s |"),
    ("one side missing",         '{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[]]}}', "quarantined l2Book: l2Book: Expected `array` of length 2 - at `$.levels`"),
    ("subscribed",               '{"channel":"subscriptionResponse","data":{}}', "control subscriptionResponse"),
]
# fmt: on

TABLES = {
    "binance_usdm": BINANCE,
    "kraken": KRAKEN,
    "kraken_v1": KRAKEN_V1,
    "kraken_futures": KRAKEN_FUTURES,
    "coinbase": COINBASE,
    "bitstamp": BITSTAMP,
    "bitfinex": BITFINEX,
    "bybit": BYBIT,
    "okx": OKX,
    "deribit": DERIBIT,
    "gemini": GEMINI,
    "hyperliquid": HYPERLIQUID,
}


def frame(table: list[tuple[str, str, str]], what: str) -> str:
    """The frame of a table's row."""
    return next(text for name, text, _ in table if name == what)


@pytest.mark.parametrize("venue", TABLES)
def test_table(venue):
    parser = parser_for(venue)
    found = [
        (what, said(parser.parse(text.encode(), ts_recv_ns=RECV_NS)))
        for what, text, _ in TABLES[venue]
    ]
    assert found == [(what, expected) for what, _, expected in TABLES[venue]]


# fmt: off
LABELLED = [  # venue, what the frame does not say, frame, said
    ("okx",           "/api/v5/market/history-trades?instId=BTC-USDT&type=1&after=9&limit=100", '{"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.00013669","px":"102537.9","tradeId":"734864333","ts":"1747087163557"},{"instId":"BTC-USDT","side":"buy","sz":"x","px":"102537.9","tradeId":"734864332","ts":"1747087161666"}]}',
                      "sell 102537.9 x 0.00013669 | refused 1: GET history-trades: element 1: Expected `float`, got `str` - at `$.sz`"),
    ("okx",           "/api/v5/market/history-trades?instId=BTC-USDT", '{"code":"50011","msg":"Too Many Requests","data":[]}', "quarantined GET history-trades: GET history-trades: code 50011: Too Many Requests"),
    ("bybit",         "/v5/market/recent-trade?category=spot&symbol=BTCUSDT&limit=60", '{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"execId":"2100000000007764263","symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758","isBlockTrade":false}]}}', "buy 16618.49 x 0.00012 |"),
    ("bybit",         "/v5/market/recent-trade?category=spot&symbol=BTCUSDT", '{"retCode":10001,"retMsg":"params error","result":{}}', "quarantined GET recent-trade: GET recent-trade: retCode 10001: params error"),
    ("bitfinex",      "/v2/trades/tBTCUSD/hist?start=1&limit=9&sort=1", '[[401,1574694475039,-0.5,60.1],[402,1574694475040,0,60.1]]',
                      "sell 60.1 x 0.5 | refused 1: GET hist: element 1: Expected an amount other than 0: its sign is the side"),
    ("bitfinex",      "/v2/trades/tBTCUSD/hist", '["error",10020,"limit: invalid"]', "quarantined GET hist: GET hist: element 0: Expected `array`, got `str`"),
    ("kraken_futures", "/api/history/v3/market/PF_XBTUSD/executions?since=1&before=9&sort=asc&count=1000", '{"elements":[{"uid":"a5105030","timestamp":1710150778607,"event":{"Execution":{"execution":{"uid":"2d485b71","makerOrder":{"tradeable":"PF_XBTUSD","direction":"Buy"},"takerOrder":{"tradeable":"PF_XBTUSD","direction":"Sell"},"timestamp":1710150778607,"quantity":"0.0002","price":"71907","markPrice":"71903.3","limitFilled":false,"usdValue":"14.38"},"takerReducedQuantity":""}}},{"event":{"Other":{}}}],"len":2}',
                      "sell 71907 x 0.0002 | refused 1: GET executions: element 1: Object missing required field `Execution` - at `$.event`"),
    ("hyperliquid",   "/info?type=recentTrades&coin=BTC", '[{"coin":"BTC","side":"A","px":"104320.0","sz":"0.01500","hash":"0x3","time":1769916002000,"tid":300003,"users":["0x1","0x2"]}]', "sell 104320 x 0.015 |"),
    ("binance_spot",  "/api/v3/depth?symbol=nknusdt&limit=1000", '{"lastUpdateId":1,"bids":[["0.35","672"]],"asks":[]}', "S bid 0.35 x 672 |"),
    ("binance_spot",  "/api/v3/trades?symbol=BTCUSDT", '[{"id":28457,"price":"4.01","qty":"12","time":1499865549590,"isBuyerMaker":true},{"id":28458,"qty":"12"}]',
                      "sell 4.01 x 12 | refused 1: GET trades: element 1: Object missing required field `price`"),
    ("binance_spot",  "/api/v3/klines?symbol=BTCUSDT&interval=1m", '[[60000,"1","2","0.5","1.5","10",119999,"15",3,"1","1","0"]]', "bar 1 2 0.5 1.5 v 10 60s |"),
    ("binance_spot",  "/api/v3/klines?symbol=BTCUSDT&interval=1m", f'[[{RECV_NS // 1_000_000},"1","2","0.5","1.5","10",{RECV_NS // 1_000_000 + 59999}]]',
                      "quarantined GET klines: GET klines: element 0: the bar is still open"),
    ("binance_usdm",  "/fapi/v1/fundingRate?symbol=BTCUSDT", '[{"symbol":"BTCUSDT","fundingRate":"-0.03750000","fundingTime":1570608000000}]', "funding -0.0375 every 28800s |"),
    ("binance_usdm",  "/fapi/v1/openInterest?symbol=BTCUSDT", '{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}', "oi 10659.509 |"),
    ("binance_coinm", "/dapi/v1/openInterest?symbol=BTCUSD_PERP", '{"symbol":"BTCUSD_PERP","pair":"BTCUSD","openInterest":"15004","contractType":"PERPETUAL","time":1591261042378}', "oi 15004 |"),
    ("binance_usdm",  "/fapi/v1/fundingInfo", '[{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.025","adjustedFundingRateFloor":"-0.025","fundingIntervalHours":4,"disclaimer":false}]', ""),
    ("binance_usdm",  "/fapi/v1/fundingInfo", '[{"symbol":"BLZUSDT","fundingIntervalHours":0}]', "quarantined GET fundingInfo: GET fundingInfo: Expected `float` > 0.0 - at `$[0].fundingIntervalHours`"),
    ("gemini",        "/v1/riskstats/btcgusdperp", '{"product_type":"PerpetualSwapContract","mark_price":"30080.00","index_price":"30079.046","open_interest":"14.439","open_interest_notional":"434325.12"}', "oi 14.439 |"),
    ("binance_spot",  "/api/v3/trades?symbol=BTCUSDT", '{"code":-1121,"msg":"Invalid symbol."}', "control error"),
    ("binance_spot",  "/api/v3/exchangeInfo", '{}', "known_unused GET exchangeInfo"),
    ("binance_spot",  "/api/v3/account", '{}', "quarantined unknown: unknown: message type 'GET account' is not known"),
    ("binance_spot",  "https://[bad", '{}', "quarantined unknown: unknown: label 'https://[bad': Invalid IPv6 URL"),
    ("bitstamp",      "https://www.bitstamp.net/api/v2/order_book/ethusd", '{"timestamp":"1641343695","microtimestamp":"1641343695681418","bids":[["3802.90","0.6"]],"asks":[]}', "S bid 3802.9 x 0.6 |"),
    ("bitstamp",      "/api/v2/transactions/btcusd/", '[{"date":"1560481868","tid":"90574283","price":"8194.79","type":"1","amount":"0.00288599"}]', "sell 8194.79 x 0.00288599 |"),
    ("gemini",        "/v1/trades/btcusd", '[{"timestampms":1547146811357,"tid":5335307668,"price":"3610.85","amount":"0.27","exchange":"gemini","type":"buy"}]', "buy 3610.85 x 0.27 |"),
    ("gemini",        "/v1/book/btcusd", '{"bids":[{"price":"3607.85","amount":"6.6","timestamp":"1"}],"asks":[]}', "S bid 3607.85 x 6.6 |"),
    ("bitstamp_2015", "order_created", '{"price":"236.47","amount":"2.0","datetime":"1430438404","id":1,"order_type":0}', "add #1 bid 236.47 x 2 |"),
    ("bitstamp_2015", "order_changed", '{"price":"236.47","amount":"0.5","datetime":"1430438404","id":1,"order_type":1}', "change #1 ask 236.47 x 0.5 |"),
    ("bitstamp_2015", "order_deleted", '{"price":"236.47","amount":"0.5","datetime":"1430438404","id":1,"order_type":0}', "delete #1 bid 236.47 x 0 |"),
    ("bitstamp_2015", "order_book", '{"bids":[["236.47","1.7"]],"asks":[]}', "quote 236.47 x 1.7 / nan x nan |"),
    ("bitstamp_2015", "trade", '{"price":236.47,"amount":0.2,"id":8111041}', "trade 236.47 x 0.2 |"),
    ("bitstamp_2015", "", '{"price":236.47,"amount":0.2,"id":8111041}', "quarantined unknown: unknown: message type '(no event beside the frame)' is not known"),
]
# fmt: on


@pytest.mark.parametrize(("venue", "label", "text", "expected"), LABELLED)
def test_what_the_frame_does_not_say_itself(venue, label, text, expected):
    parsed = parser_for(venue).parse(text.encode(), ts_recv_ns=RECV_NS, label=label)
    assert said(parsed) == expected


# fmt: off
TIMES = [  # venue, what time it is, frame, ts_event_ns
    ("binance_usdm",   "matching time before event time", frame(BINANCE, "changed levels"), 1_700_000_000_001_000_000),
    ("binance_usdm",   "event time where there is no other", frame(BINANCE, "in a combined stream"), 2_000_000),
    ("binance_spot",   "none: the receive time", frame(BINANCE, "best quote of spot"), RECV_NS),
    ("kraken",         "microseconds", frame(KRAKEN, "a level goes"), 1_786_923_425_376_419_000),
    ("kraken_v1",      "the newest level", frame(KRAKEN_V1, "one side"), 1_618_678_118_000_001_000),
    ("coinbase",       "microseconds", frame(COINBASE, "the maker sold"), 1_415_348_367_028_459_000),
    ("bitstamp",       "microseconds", frame(BITSTAMP, "diff"), 1_641_343_691_355_099_000),
    ("bybit",          "the matching engine's", frame(BYBIT, "delta"), 1_687_940_967_464_000_000),
    ("bybit",          "microseconds in 2021", frame(BYBIT, "a book of 2021"), 1_618_677_787_638_125_000),
    ("gemini",         "none: the receive time", frame(GEMINI, "changes"), RECV_NS),
]
# fmt: on


@pytest.mark.parametrize(("venue", "what", "text", "ts_event_ns"), TIMES)
def test_times(venue, what, text, ts_event_ns):
    assert times(parser_for(venue).parse(text.encode(), ts_recv_ns=RECV_NS)) == {ts_event_ns}


@pytest.mark.parametrize("venue", PARSERS)
def test_every_listed_data_type_has_a_reader_and_no_other_has(venue):
    parser = PARSERS[venue]
    listed = {known.name for known in parser.venue.types if known.use is Use.DATA}
    assert set(parser.handlers) == listed
    assert len({known.name for known in parser.venue.types}) == len(parser.venue.types)


def test_only_configured_instruments_where_they_are_given():
    parser = parser_for("coinbase", ["ETH-USD"])
    assert said(parser.parse(frame(COINBASE, "snapshot").encode())) == (
        "quarantined snapshot: snapshot: symbol 'BTC-USD' is not one of this feed's instruments"
    )
    assert parser.instruments == ["ETH-USD"]


# fmt: off
TWICE = [  # venue, a trade as its frame says it, and the same over REST: label and body
    ("okx", '{"arg":{"channel":"trades-all","instId":"A-USDT"},"data":[{"instId":"A-USDT","tradeId":"130","px":"42.5","sz":"0.12","side":"sell","source":"0","ts":"1630048897897"}]}',
            "/api/v5/market/history-trades?instId=A-USDT", '{"code":"0","msg":"","data":[{"instId":"A-USDT","tradeId":"130","px":"42.5","sz":"0.12","side":"sell","ts":"1630048897897"}]}'),
    ("bybit", '{"topic":"publicTrade.AUSDT","type":"snapshot","ts":3,"data":[{"T":1672304486865,"s":"AUSDT","S":"Buy","v":"0.001","p":"60.2","i":"2290000000067341890"}]}',
            "/v5/market/recent-trade?symbol=AUSDT", '{"retCode":0,"result":{"list":[{"execId":"2290000000067341890","symbol":"AUSDT","price":"60.2","size":"0.001","side":"Buy","time":"1672304486865"}]}}'),
    ("bybit", '{"topic":"publicTrade.AUSDT","type":"snapshot","ts":3,"data":[{"T":1672304486865,"s":"AUSDT","S":"Sell","v":"0.001","p":"60.2","i":"9dc75fca-4bdd-4773-9f78-6f5d7ab2a110"}]}',
            "/v5/market/recent-trade?symbol=AUSDT", '{"retCode":0,"result":{"list":[{"execId":"9dc75fca-4bdd-4773-9f78-6f5d7ab2a110","symbol":"AUSDT","price":"60.2","size":"0.001","side":"Sell","time":"1672304486865"}]}}'),
    ("bitfinex", '[8,"te",[401,1574694475039,-0.5,60.1],4]', "/v2/trades/tBTCUSD/hist?sort=1", '[[401,1574694475039,-0.5,60.1]]'),
    ("gemini", '{"type":"trade","symbol":"AUSD","event_id":122,"timestamp":1625066460443,"price":"35.1","quantity":"0.5","side":"sell"}',
            "/v1/trades/ausd?limit_trades=9", '[{"timestamp":1625066460,"timestampms":1625066460443,"tid":122,"price":"35.1","amount":"0.5","exchange":"gemini","type":"sell"}]'),
    ("hyperliquid", '{"channel":"trades","data":[{"coin":"A","side":"A","px":"60.1","sz":"0.5","time":7,"hash":"0x","tid":588047386913648}]}',
            "/info?type=recentTrades&coin=A", '[{"coin":"A","side":"A","px":"60.1","sz":"0.5","time":7,"hash":"0x","tid":588047386913648}]'),
    ("kraken_futures", '{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af","side":"sell","type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}',
            "/api/history/v3/market/PI_XBTUSD/executions?since=1", '{"elements":[{"event":{"Execution":{"execution":{"takerOrder":{"direction":"Sell"},"timestamp":1612266317519,"quantity":"15000","price":"34969.5"}}}}]}'),
]
# fmt: on


@pytest.mark.parametrize(("venue", "frame_text", "label", "body"), TWICE)
def test_trade_is_the_same_by_both_ways(venue, frame_text, label, body):
    parser = parser_for(venue)
    for text in (f for _, f, _ in TABLES[venue] if '"subscribed"' in f):  # channels of Bitfinex
        parser.parse(text.encode())
    (sent,) = parser.parse(frame_text.encode()).parts
    (asked,) = parser.parse(body.encode(), label=label).parts
    assert isinstance(sent, Event)
    assert sent.venue_seq > 0
    number = NO_SEQ if venue == "kraken_futures" else sent.venue_seq
    assert asked == sent._replace(venue_seq=number)


def test_snapshot_that_names_no_symbol_needs_a_feed_of_one():
    parser = parser_for("binance_spot", ["BTCUSDT", "ETHUSDT"])
    parsed = parser.parse(frame(BINANCE, "REST snapshot").encode())
    assert said(parsed).endswith("no symbol, and the feed has 2 instruments")


def test_names_from_a_damaged_feed_do_not_fill_the_memory():
    parser = parser_for("coinbase")
    for k in range(INSTRUMENTS_MAX + 10):
        parsed = parser.parse(frame(COINBASE, "snapshot").replace("BTC-USD", f"X{k}").encode())
    assert len(parser.instruments) == INSTRUMENTS_MAX
    assert "is one more than 4096 instruments" in parsed.reason


def test_order_of_2015_that_was_deleted_does_not_come_back():
    parser = parser_for("bitstamp_2015")
    order = b'{"price":"236.47","amount":"0.5","id":1,"order_type":0}'
    labels = ["order_deleted", "order_created", "order_changed", "order_deleted"]
    assert [said(parser.parse(order, label=label)) for label in labels] == [
        "delete #1 bid 236.47 x 0 |",
        "superseded order_created: the order was deleted before",
        "superseded order_changed: the order was deleted before",
        "delete #1 bid 236.47 x 0 |",
    ]


def test_unlisted_venue_is_refused_by_name():
    with pytest.raises(NoParserError, match="no parser for venue 'mtgox'; there are: binance_spot"):
        parser_for("mtgox")


def test_message_that_cannot_be_read_breaks_the_book_it_was_about():
    parser = parser_for("binance_usdm")
    parser.parse(frame(BINANCE, "changed levels").replace("BTCUSDT", "ETHUSDT").encode())
    parser.parse(frame(BINANCE, "changed levels").encode())
    assert parser.parse(frame(BINANCE, "a price that is none").encode()).broken == (1,)
    assert (
        parser.parse(frame(BINANCE, "a negative size").encode()).broken == ()
    )  # a trade is no book message
    assert (
        parser.parse(frame(BINANCE, "a type of tomorrow").encode()).broken == ()
    )  # nor is a type of tomorrow
    assert parser.parse(b"{").broken == (NO_SYMBOL,)  # this may have been about any book


def test_binance_contracts_are_read_with_their_own_funding_intervals():
    """As the last `fundingInfo` has them; without one, and for all that it leaves out, 8 h."""
    parser = parser_for("binance_usdm")

    def after(answer: str) -> list[str]:
        if answer:
            parser.parse(answer.encode(), ts_recv_ns=RECV_NS, label="/fapi/v1/fundingInfo")
        mark = '{"e":"markPriceUpdate","E":3,"s":"%s","p":"60.5","r":"0.0001","T":9}'
        settled = '[{"symbol":"BLZUSDT","fundingRate":"0.0002","fundingTime":4}]'
        found = [
            *(parser.parse((mark % name).encode()) for name in ("BLZUSDT", "BTCUSDT")),
            parser.parse(settled.encode(), label="/fapi/v1/fundingRate?symbol=BLZUSDT"),
        ]
        return [said(one).rsplit(" every ", 1)[1] for one in found]

    info = '[{"symbol":"BLZUSDT","fundingIntervalHours":%d}]'
    assert after("") == ["28800s |", "28800s |", "28800s |"]
    assert after(info % 4) == ["14400s |", "28800s |", "14400s |"]
    assert after(info % 1) == ["3600s |", "28800s |", "3600s |"]
    assert after("{}") == ["3600s |", "28800s |", "3600s |"]  # no answer: what was known stays
    assert after("[]") == ["28800s |", "28800s |", "28800s |"]
