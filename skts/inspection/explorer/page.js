(() => {
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const MISSING = 65535;
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a5195", "#8c6d31", "#3b3b3b", "#b5a300"];
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

// ---- numbers come in 16 bits ---------------------------------------------------------------------------------------

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const whole = text => new Uint32Array(bytes(text));
function numbers(packed) {
  return Float64Array.from(new Uint16Array(bytes(packed.data)), q => q === MISSING ? NaN : packed.offset + packed.scale * q);
}

const starts = whole(data.starts), stops = whole(data.stops), n = data.n;
const isSeries = data.kind === "series", unit = isSeries ? "window" : "series";
const models = Object.keys(data.maps), record = data.record;
const channels = record.channels.map(numbers);
const units = k => unit === "series" ? `${k.toLocaleString("en")} series` : `${k.toLocaleString("en")} window${k === 1 ? "" : "s"}`;
const short = v => !Number.isFinite(v) ? "missing" : String(Number(v.toPrecision(4)));

// ---- what is selected ----------------------------------------------------------------------------------------------

let model = {}, points, channel = 0, colours = [];

const selected = () => points.selected.indices;
function select(indices, add) {
  const all = add ? [...new Set([...selected(), ...indices])] : indices;
  points.selected.indices = [...all].sort((a, b) => a - b);
}

// Windows of which at least half lies in the brush; a brush within one window selects what contains its middle.
function windowsWithin(from, to) {
  const found = [];
  for (let i = 0; i < n; i++) {
    const common = Math.min(to, stops[i]) - Math.max(from, starts[i]);
    if (common > 0 && common >= 0.5 * Math.min(to - from, stops[i] - starts[i])) found.push(i);
  }
  return found;
}

function stretches(indices) {
  const found = [];
  for (const i of indices) {
    const last = found[found.length - 1];
    if (last && starts[i] <= last[1]) last[1] = Math.max(last[1], stops[i]);
    else found.push([starts[i], stops[i]]);
  }
  return found;
}

const quads = parts => ({
  left: parts.map(p => p[0]), right: parts.map(p => p[1]), bottom: parts.map(() => 0.09), top: parts.map(() => 1),
});

function showSelection() {
  const indices = selected(), any = indices.length > 0;
  model.record_selected.data_source.data = quads(stretches(indices));
  $("count").textContent = any ? `${units(indices.length)} of ${n.toLocaleString("en")} selected` : "";
  $("clear").disabled = $("save").disabled = !any;
  showStrip();
  showShape();
}

// ---- the map -------------------------------------------------------------------------------------------------------

function showMap(name) {
  const kept = selected(), found = {...points.data};
  models.forEach((m, i) => {
    const map = data.maps[m][name];
    const x = found[`x${i}`] = Array.from(numbers(map.x)), y = found[`y${i}`] = Array.from(numbers(map.y));
    model[`map${i}_path`].data_source.data = {x, y};
  });
  points.data = found;
  for (const button of $("projections").children) button.setAttribute("aria-pressed", button.value === name);
  models.forEach((_, i) => model[`map${i}`].reset.emit());  // the whole map is shown again, and would lose the selection
  select(kept);
}

function describe(i) {
  const where = isSeries ? `window ${i}: steps ${starts[i]} to ${stops[i]}` : `series ${i}: ${stops[i] - starts[i]} steps`;
  const facts = data.colours.filter(c => c.kind !== "time").map(c => `${c.name} ${c.classes ? c.classes[c.codes[i]] : short(c.values[i])}`);
  return [where, ...facts].join(" · ");
}

// ---- colours -------------------------------------------------------------------------------------------------------

const classColour = k => k < PALETTE.length ? PALETTE[k] : `hsl(${(k * 137.5) % 360} 55% 45%)`;
function scaleColour(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1), k = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mix = (a, b) => Math.round(parseInt(a, 16) + (at - k) * (parseInt(b, 16) - parseInt(a, 16)));
  const [low, high] = [VIRIDIS[k], VIRIDIS[k + 1]];
  return `rgb(${[1, 3, 5].map(p => mix(low.slice(p, p + 2), high.slice(p, p + 2))).join(",")})`;
}

function showColour(number) {
  const by = data.colours[number], key = $("key");
  key.replaceChildren();
  if (by.classes) {
    colours = Array.from(by.codes, classColour);
    by.classes.forEach((name, k) => key.append(classButton(by, name, k)));
    const hint = document.createElement("p");
    hint.textContent = "Click a name to select all of it.";
    key.append(hint);
  } else {
    // By rank: a few extreme values would leave all others in one colour.
    const order = Array.from(by.values).filter(Number.isFinite).sort((a, b) => a - b), last = order.length - 1;
    const share = new Map(order.map((v, k) => [v, k / Math.max(1, last)]));
    colours = Array.from(by.values, v => Number.isFinite(v) ? scaleColour(share.get(v)) : "#b8b8b8");
    const middle = [order[0], order[last >> 1], order[last]].map(short);
    key.append(scaleBar(by.kind === "time" && isSeries ? ["early", "late"] : middle));
  }
  points.data = {...points.data, color: colours};
  showStrip();
}

function classButton(by, name, k) {
  const button = document.createElement("button"), dot = document.createElement("i");
  dot.style.background = classColour(k);
  button.append(dot, name);
  button.title = `Select all of ${name}`;
  button.onclick = event => select([...by.codes.keys()].filter(i => by.codes[i] === k), event.shiftKey);
  return button;
}

function scaleBar(ends) {
  const scale = document.createElement("div"), band = document.createElement("div"), words = document.createElement("div");
  scale.className = "scale";
  band.style.background = `linear-gradient(90deg, ${VIRIDIS.join(",")})`;
  for (const end of ends) words.append(Object.assign(document.createElement("span"), {textContent: end}));
  scale.append(band, words);
  return scale;
}

// The strip under the record: each window up to where the next one starts; neighbours that look the same are one.
function showStrip() {
  const chosen = new Set(selected()), any = chosen.size > 0;
  const strip = {left: [], right: [], bottom: [], top: [], color: [], alpha: []};
  for (let i = 0; i < n; i++) {
    const right = i + 1 < n ? Math.min(starts[i + 1], stops[i]) : stops[i], alpha = !any || chosen.has(i) ? 1 : 0.25;
    const last = strip.right.length - 1;
    if (strip.right[last] === starts[i] && strip.color[last] === colours[i] && strip.alpha[last] === alpha) {
      strip.right[last] = right;
      continue;
    }
    for (const [name, value] of Object.entries({left: starts[i], right, bottom: 0, top: 0.07, color: colours[i], alpha})) strip[name].push(value);
  }
  model.record_strip.data_source.data = strip;
}

// ---- the record: smallest and largest value of each pixel --------------------------------------------------------------

function showRecord() {
  const values = channels[channel], step = record.step, range = model.record.x_range;
  const first = Math.max(0, Math.floor(range.start / step) - 1), last = Math.min(values.length, Math.ceil(range.end / step) + 2);
  const size = Math.max(1, Math.floor((last - first) / 1400)), x = [], y = [];
  for (let a = first; a < last; a += size) {
    if (size < 3) { for (let i = a; i < Math.min(a + size, last); i++) { x.push(i * step); y.push(values[i]); } continue; }
    let low = a, high = a;
    for (let i = a; i < Math.min(a + size, last); i++) {
      if (values[i] < values[low] || Number.isNaN(values[low])) low = i;
      if (values[i] > values[high] || Number.isNaN(values[high])) high = i;
    }
    for (const i of low < high ? [low, high] : [high, low]) { x.push(i * step); y.push(values[i]); }
  }
  model.record_line.data_source.data = {x, y};
}

function showChannel(number) {
  channel = number;
  let low = Infinity, high = -Infinity;
  for (const v of channels[channel]) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  if (!(high > low)) { low -= 1; high += 1; }
  model.record.y_range.setv({start: low - 0.16 * (high - low), end: high + 0.06 * (high - low)});
  showRecord();
  showShape();
}

// ---- the shape of what is selected -------------------------------------------------------------------------------------

function curveOf(i, size) {
  const values = channels[channel], last = stops[i] - starts[i] - 1;
  const curve = Array.from({length: size}, (_, j) => values[Math.min(values.length - 1, Math.round((starts[i] + j * last / Math.max(1, size - 1)) / record.step))]);
  if (!$("level").checked) return curve;
  const seen = curve.filter(Number.isFinite), mean = seen.reduce((a, b) => a + b, 0) / seen.length;
  const deviation = Math.sqrt(seen.reduce((a, b) => a + (b - mean) ** 2, 0) / seen.length);
  return curve.map(v => (v - mean) / (deviation || 1));
}

const longest = Math.max(...Array.from(stops, (s, i) => s - starts[i]));
const size = Math.min(longest, 300), steps = Array.from({length: size}, (_, j) => j * (longest - 1) / Math.max(1, size - 1));

function showShape() {
  const some = selected(), indices = some.length ? some : [...Array(n).keys()];
  const curves = indices.map(i => curveOf(i, size)), every = Math.ceil(curves.length / 30);
  const mean = [], low = [], high = [];
  for (let j = 0; j < size; j++) {
    const column = Float64Array.from(curves.map(c => c[j]).filter(Number.isFinite)).sort(), m = column.length;
    mean.push(m ? column.reduce((a, b) => a + b, 0) / m : NaN);
    low.push(m ? column[Math.floor(0.1 * (m - 1))] : NaN);
    high.push(m ? column[Math.ceil(0.9 * (m - 1))] : NaN);
  }
  const few = some.length ? curves.filter((_, k) => k % every === 0) : [];
  model.shape_each.data_source.data = {xs: few.map(() => steps), ys: few};
  model.shape_band.data_source.data = {x: steps, y1: low, y2: high};
  model.shape_mean.data_source.data = {x: steps, y: mean};
  const whose = some.length ? `the ${units(some.length)} selected` : `all ${units(n)}: nothing is selected`;
  $("shape-title").textContent = `Mean and middle 80 % of ${whose}`;
}

function showPointed(i) {
  const any = i !== undefined;
  model.record_pointed.data_source.data = quads(any ? [[starts[i], stops[i]]] : []);
  model.shape_pointed.data_source.data = any ? {x: steps, y: curveOf(i, size)} : {x: [], y: []};
  models.forEach((_, k) => {
    model[`map${k}_pointed`].data_source.data = any ? {x: [points.data[`x${k}`][i]], y: [points.data[`y${k}`][i]]} : {x: [], y: []};
  });
}

// ---- the measures ------------------------------------------------------------------------------------------------------

function showTable() {
  const head = document.createElement("tr"), cell = (tag, text, name = "") => Object.assign(document.createElement(tag), {textContent: text, className: name});
  head.append(cell("th", "measure"), ...models.map(m => cell("th", m, "number")), cell("th", "better"), cell("th", "what it says"));
  $("measures").querySelector("thead").append(head);
  let space = "";
  for (const row of data.table) {
    const body = $("measures").querySelector("tbody");
    if (row.space !== space) {
      const line = document.createElement("tr"), first = Object.values(data.projections)[0];
      line.className = "space";
      line.append(Object.assign(cell("td", row.space === "map" ? `On the ${first} map` : "In the embedding itself"), {colSpan: models.length + 3}));
      body.append(line);
      space = row.space;
    }
    const line = document.createElement("tr"), sign = row.better === "higher" ? 1 : -1;
    line.append(cell("td", row.measure));
    const clear = m => models.length > 1 && models.every(o => o === m || sign * row.cells[m][sign > 0 ? 1 : 2] > sign * row.cells[o][sign > 0 ? 2 : 1]);
    for (const m of models) {
      const [value, low, high] = row.cells[m], found = cell("td", value.toFixed(3).replace("-", "\u2212"), "number");
      if (low !== null && clear(m)) found.classList.add("best");
      if (low !== null) found.append(cell("span", `  ${low.toFixed(2)} to ${high.toFixed(2)}`.replaceAll("-", "\u2212"), "range"));
      line.append(found);
    }
    line.append(cell("td", row.better), cell("td", row.says, "says"));
    body.append(line);
  }
  const bold = models.length > 1 ? " Bold: better, and the intervals do not overlap; elsewhere the difference may be chance." : "";
  $("measures-note").textContent = `Small figures: 95 % intervals over ${isSeries ? "stretches of the series" : "the series"}.${bold}`;
  $("measures").hidden = data.table.length === 0;
}

// ---- the file ----------------------------------------------------------------------------------------------------------

function save() {
  const indices = selected();
  const found = {
    format: data.format, title: data.title, n_windows: n, window: data.window,
    indices, starts: indices.map(i => starts[i]), stops: indices.map(i => stops[i]),
  };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(found)], {type: "application/json"}));
  link.download = "selection.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- begin --------------------------------------------------------------------------------------------------------------

function fillControls() {
  for (const [name, label] of Object.entries(data.projections)) {
    const button = Object.assign(document.createElement("button"), {textContent: label, value: name});
    button.onclick = () => showMap(name);
    $("projections").append(button);
  }
  data.colours.forEach((c, k) => $("colour").append(new Option(c.name, k)));
  record.channels.forEach((c, k) => $("channel").append(new Option(c.name, k)));
  $("channel-choice").hidden = record.channels.length < 2;
  $("path-choice").hidden = !isSeries;
  $("about").textContent = isSeries
    ? `${units(n)} of ${data.window} steps, from a series of ${record.length.toLocaleString("en")}`
    : `${units(n)}, ${longest.toLocaleString("en")} steps the longest`;
  for (const word of document.querySelectorAll(".unit")) word.textContent = isSeries ? `window of ${data.window} steps` : "series";
  model.shape.below[0].axis_label = isSeries ? "step in the window" : "step";
  $("record-title").textContent = isSeries ? "The series" : "All series, one after another";
  document.documentElement.style.setProperty("--maps", models.length);
}

function listen() {
  let shift = false;
  addEventListener("pointerdown", event => { shift = event.shiftKey; }, true);
  points.selected.properties.indices.change.connect(showSelection);
  points.inspect.connect(() => showPointed(points.inspected.indices[0]));
  model.record.on_event("selectiongeometry", event => {
    if (event.final) select(windowsWithin(Math.min(event.geometry.x0, event.geometry.x1), Math.max(event.geometry.x0, event.geometry.x1)), shift);
  });
  for (const side of ["start", "end"]) model.record.x_range.properties[side].change.connect(() => requestAnimationFrame(showRecord));
  $("colour").onchange = () => showColour(Number($("colour").value));
  $("channel").onchange = () => showChannel(Number($("channel").value));
  $("level").onchange = showShape;
  $("path").onchange = () => models.forEach((_, i) => { model[`map${i}_path`].visible = $("path").checked; });
  $("clear").onclick = () => select([]);
  $("save").onclick = save;
  addEventListener("keydown", event => { if (event.key === "Escape") select([]); });
}

function begin() {
  for (const found of Bokeh.documents[0].all_models ?? Bokeh.documents[0]._all_models.values()) if (found.name) model[found.name] = found;
  points = model.points;
  for (const c of data.colours) { if (c.codes) c.codes = whole(c.codes); else c.values = numbers(c.values); }
  model.record.x_range.setv({start: 0, end: record.length, reset_start: 0, reset_end: record.length, bounds: [0, record.length]});
  fillControls();
  points.data = {...points.data, info: Array.from({length: n}, (_, i) => describe(i)), color: Array(n).fill("#888")};
  showMap(Object.keys(data.projections)[0]);
  showColour(0);
  showChannel(0);
  showTable();
  listen();
  showSelection();
  document.body.dataset.ready = "true";
}

// The figures are drawn once the document is loaded, by a script of bokeh.
(function wait() {
  const drawn = window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].roots().length === models.length + 2;
  if (drawn) begin(); else setTimeout(wait, 20);
})();
window.explorer = {data, select, windowsWithin, stretches, selected};
})();
