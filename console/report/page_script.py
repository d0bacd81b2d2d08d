"""The page's own script: draws the figures in the reader's colours, and jumps to a trade."""

SCRIPT = """
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const config = {responsive: true, displayModeBar: false, doubleClick: "reset"};
  let chosen = 0, viewed = 0;

  // strings that start with -- are style variables; everything else stays as it is
  function coloured(value, style) {
    if (typeof value === "string") {
      return value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    }
    if (Array.isArray(value)) {
      return value.length && typeof value[0] !== "object" ? value
        : value.map((v) => coloured(v, style));
    }
    if (value === null || typeof value !== "object" || "bdata" in value) return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, style)]));
  }

  function draw(id, figure) {
    const div = document.getElementById(id);
    if (!div || !figure) return;
    const style = getComputedStyle(root);
    const axis = {gridcolor: "--grid", linecolor: "--rule", zerolinecolor: "--rule",
      automargin: true, title: {font: {size: 12, color: "--muted"}, standoff: 8}};
    const base = {font: {family: getComputedStyle(document.body).fontFamily, size: 12,
      color: "--muted"}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: {l: 8, r: 8, t: 8, b: 8}, dragmode: "zoom",
      hoverlabel: {bgcolor: "--card", bordercolor: "--rule", align: "left",
        font: {color: "--ink", size: 12.5}}};
    const layout = {...base, ...figure.layout};
    for (const name of ["xaxis", "yaxis", "yaxis2", "yaxis3", "yaxis4"]) {
      if (!figure.layout[name]) continue;
      const own = figure.layout[name];
      const digits = name[0] === "y" ? {exponentformat: "none", separatethousands: true} : {};
      layout[name] = {...axis, ...digits, ...own, title: {...axis.title, ...(own.title || {})}};
    }
    Plotly.react(div, coloured(figure.data, style), coloured(layout, style), config);
  }

  function drawAll() {
    draw("price", figures.price[chosen]);
    draw("view", figures.views[viewed]);
    draw("equity", figures.equity);
    draw("latency", figures.latency);
  }

  // the price axis follows what is visible: the mid and all marks between two times
  function refit(div, from, to) {
    let low = Infinity, high = -Infinity;
    for (const trace of div._fullData) {
      if (trace.visible !== true || trace.fill === "toself") continue;
      for (let i = 0; i < trace.x.length; i++) {
        const y = trace.y[i];
        if (trace.x[i] >= from && trace.x[i] <= to && y !== null && y === y) {
          low = Math.min(low, y);
          high = Math.max(high, y);
        }
      }
    }
    if (!(high >= low)) return;
    const room = (high - low || Math.abs(high) * 1e-4) * 0.08;
    Plotly.relayout(div, {"yaxis.range": [low - room, high + room]});
  }

  const utc = (t) => typeof t === "number" ? t
    : Date.parse(String(t).replace(" ", "T") + (/Z$/.test(t) ? "" : "Z"));

  function pad(t) {return t.length === 10 ? t + "T00:00:00" : t.length === 16 ? t + ":00" : t;}

  function watch() {
    const div = document.getElementById("price");
    if (!div || !div.on) return;
    div.on("plotly_relayout", (change) => {
      if ("xaxis.range[0]" in change) {
        refit(div, utc(pad(String(change["xaxis.range[0]"]))),
          utc(pad(String(change["xaxis.range[1]"]))));
      } else if (change["xaxis.autorange"]) {
        Plotly.relayout(div, {"yaxis.autorange": true});
      }
    });
  }

  function jump(button) {
    const select = document.getElementById("instrument");
    chosen = Number(button.dataset.chart);
    if (select) select.value = String(chosen);
    draw("price", figures.price[chosen]);
    const from = Number(button.dataset.from), to = Number(button.dataset.to);
    const room = Math.max((to - from) * 1.5, 60000);
    const div = document.getElementById("price");
    Plotly.relayout(div, {"xaxis.range": [from - room, to + room]})
      .then(() => refit(div, from - room, to + room));
    div.scrollIntoView({block: "center", behavior: "smooth"});
  }

  const whole = () =>
    Plotly.relayout("price", {"xaxis.autorange": true, "yaxis.autorange": true});

  drawAll();
  watch();
  document.getElementById("whole")?.addEventListener("click", whole);
  document.getElementById("instrument")?.addEventListener("change", (event) => {
    chosen = Number(event.target.value);
    draw("price", figures.price[chosen]);
    whole();
  });
  document.getElementById("views")?.addEventListener("change", (event) => {
    viewed = Number(event.target.value);
    draw("view", figures.views[viewed]);
    Plotly.relayout("view", {"xaxis.autorange": true});
  });
  document.querySelectorAll("button[data-chart]").forEach((button) =>
    button.addEventListener("click", () => jump(button)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    root.classList.add("paper");
    drawAll();
    document.querySelectorAll(".js-plotly-plot").forEach((div) =>
      Plotly.relayout(div, {width: 680, height: div.offsetHeight}));
  });
  addEventListener("afterprint", () => {
    root.classList.remove("paper");
    document.querySelectorAll(".js-plotly-plot").forEach((div) =>
      Plotly.relayout(div, {width: null, height: null}));
    drawAll();
    document.querySelectorAll(".js-plotly-plot").forEach((div) => Plotly.Plots.resize(div));
  });
})();
"""
