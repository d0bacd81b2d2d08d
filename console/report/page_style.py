"""Style sheet of report.html. System fonts, no outside reference, light, dark and on paper.

Colours follow Okabe and Ito's palette, which stays apart for colour-blind readers; gain and loss
differ in shape too.
"""

STYLE = """
:root{color-scheme:light dark;--bg:#f4f6f8;--card:#ffffff;--ink:#16212c;--muted:#5a6875;
--rule:#e1e6eb;--grid:#eceff3;--price:#51606f;--accent:#0072b2;--accent-soft:rgba(0,114,178,.14);
--gain:#00805d;--loss:#c44f00;--gain-soft:rgba(0,158,115,.16);--loss-soft:rgba(213,94,0,.16);
--level:#8a6d00;--binary:#d18f00;--spot:#0072b2;--arbitrage:#8e4fb8;--warn:#fff4d6;
--warn-ink:#6b4e00;--sim:#f0e442;--sim-ink:#2b2900}
@media (prefers-color-scheme:dark){:root:not(.paper){--bg:#0e1318;--card:#171e25;--ink:#e8edf2;
--muted:#9aa8b5;--rule:#2a343e;--grid:#222b34;--price:#a9b6c2;--accent:#56b4e9;
--accent-soft:rgba(86,180,233,.18);--gain:#2fc79b;--loss:#ff8a47;--gain-soft:rgba(47,199,155,.18);
--loss-soft:rgba(255,138,71,.18);--level:#f0e442;--binary:#ffb82e;--spot:#56b4e9;
--arbitrage:#cf9af0;--warn:#3a2f12;--warn-ink:#ffdf94}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1180px;margin:0 auto;padding:0 20px 48px}
.simulated{background:var(--sim);color:var(--sim-ink);text-align:center;font-weight:800;
font-size:clamp(16px,3.2vw,24px);letter-spacing:.12em;padding:10px 12px}
.simulated small{display:block;font-weight:500;font-size:13px;letter-spacing:0}
header{padding:30px 0 6px}
.brand{color:var(--muted);font-size:13px;display:flex;flex-wrap:wrap;gap:4px 14px}
.brand b{color:var(--ink);letter-spacing:.04em}
h1{font-size:clamp(20px,2.6vw,28px);line-height:1.3;font-weight:650;margin:12px 0 6px;
text-wrap:balance}
header p{margin:0 0 4px;color:var(--muted)}header p.lead{font-size:17px;color:var(--ink)}
h2{font-size:17px;font-weight:650;margin:0 0 2px}
h3{font-size:13px;font-weight:600;margin:20px 0 6px;color:var(--muted)}
.gain{color:var(--gain)}.loss{color:var(--loss)}
.note{color:var(--muted);font-size:13px;margin:2px 0 10px;max-width:75em}
.warnings{margin:16px 0 0;padding:10px 14px 10px 30px;background:var(--warn);
color:var(--warn-ink);border-radius:8px}
.tiles{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:10px;
margin:20px 0 16px}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:11px 14px}
.tile>span{display:block;color:var(--muted);font-size:12.5px}
.tile b{display:block;font-size:20px;font-weight:620;line-height:1.35;white-space:nowrap;
font-variant-numeric:tabular-nums}
section{background:var(--card);border:1px solid var(--rule);border-radius:12px;
padding:18px 20px;margin:0 0 16px}
.head{display:flex;flex-wrap:wrap;justify-content:space-between;gap:6px 16px;align-items:start}
.head>div{display:flex;gap:8px;align-items:center;max-width:100%}
select,button{font:inherit;font-size:14px;color:var(--ink);background:var(--bg);
border:1px solid var(--rule);border-radius:7px;padding:4px 9px;max-width:100%}
button{cursor:pointer}td button{font-size:12.5px;padding:1px 8px}
.chart{width:100%;height:480px}.chart.low{height:250px}.chart.tall{height:470px}
.chart.view{height:720px}
.scroll{overflow-x:auto;margin:0 -4px;padding:0 4px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:550;color:var(--muted);font-size:12.5px;text-align:left;white-space:nowrap}
th,td{padding:6px 14px 6px 0;border-bottom:1px solid var(--rule);vertical-align:top}
tr:last-child td{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
td.t{white-space:nowrap}
.key{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}
.bars{display:grid;grid-template-columns:minmax(0,1fr) auto auto;gap:9px 14px;font-size:14px;
align-items:end}
.bars i{display:block;height:7px;border-radius:4px;background:var(--accent);margin-top:3px;
min-width:2px;-webkit-print-color-adjust:exact;print-color-adjust:exact}
.bars .n{font-variant-numeric:tabular-nums}
.bars small{color:var(--muted);font-size:11.5px;margin-left:6px}
.two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 16px}
.two section{min-width:0}
dl{display:grid;grid-template-columns:minmax(110px,max-content) minmax(0,1fr);gap:5px 18px;
margin:8px 0 0;font-size:14px}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0 0}
summary{cursor:pointer;color:var(--muted);margin-top:12px;font-size:14px}
footer{color:var(--muted);font-size:12.5px;padding:4px 2px}
.paper .chart,.paper .chart.tall{height:420px}.paper .chart.low{height:250px}
@media (max-width:760px){main{padding:0 12px 32px}section{padding:15px 13px}
.two{grid-template-columns:minmax(0,1fr)}.chart{height:400px}.chart.tall{height:420px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}.tile{padding:9px 11px}
.tile b{font-size:17px;white-space:normal}header{padding-top:20px}
dl{grid-template-columns:minmax(90px,36%) minmax(0,1fr)}}
@media print{:root{color-scheme:light}body{background:#fff;font-size:12px}
main{max-width:none;padding:0}section,.tile{border-color:#ccc}h2,h3,.head,.note{break-after:avoid;break-inside:avoid}
.tile,.chart,tr,dl,.bars>div{break-inside:avoid}
.chart,.chart.tall{height:420px}.chart.low{height:250px}
button,select,.noprint{display:none}.two{display:block}}
"""
