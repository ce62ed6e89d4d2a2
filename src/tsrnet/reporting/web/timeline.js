// The timeline and the tables: what they show of the review, the curves and the time.

const STEPS_S = [.1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
const [DIGITS, TICK_PX] = data.duration_s < 3600 ? [1, 56] : [0, 74]; // room for h:mm:ss beside h:mm:ss
const percent = (time) => `${100 * clamp(time / data.duration_s, 0, 1)}%`;
const highest = Math.max(0, ...data.detections.map((found) => found.score));

// Rows are classes, that of the best detection first, then those that a person adds; then curves.
const labels = [...new Set([...data.detections].sort((a, b) => b.score - a.score).map((found) => found.label))];
const rows = new Map(); // class -> {row, lane}
const marks = new Map(); // id of a segment -> {one, segment, time, label, score, line}: elements that show it
const values = []; // {curve, number}: a curve and the element that says its value
const handles = ["start_s", "end_s"].map((edge) => make("rect", { class: "handle", height: "100%", "data-edge": edge }));

function addRow(name, kind, attributes = {}) {
  const lane = make("svg", { class: "lane", ...attributes }), number = make("span", { class: "number" });
  const head = make("span", {}, make("span", { class: "name", title: name }, name), number);
  const row = make("div", { class: `row ${kind}` }, head, lane);
  get(`${kind}-rows`).append(row);
  return { row, lane, number };
}

function rowOf(label) {
  if (!labels.includes(label)) labels.push(label);
  if (!rows.has(label)) rows.set(label, addRow(label, "class"));
  return rows.get(label);
}

const spanOf = (one, digits = 1) => `${clock(one.start_s, digits)} – ${clock(one.end_s, digits)}`;
const scoreOf = (one) => (one.accepted ? "✓" : one.score.toFixed(3));

/** Draw the review: elements are kept, so that what has the focus keeps it. */
function drawSegments(review) {
  const shown = kept(review);
  for (const [id, mark] of marks) {
    if (shown.some((one) => one.id === id)) continue;
    mark.segment.remove();
    mark.line.remove();
    marks.delete(id);
  }
  for (const one of shown) {
    const mark = marks.get(one.id) ?? addMark(one.id), chosen = one.id === selected;
    const strength = one.accepted ? 100 : 30 + 70 * clamp(one.score / (highest || 1), 0, 1);
    rowOf(one.label);
    const style = `--colour: ${COLOURS[labels.indexOf(one.label) % COLOURS.length]}`;
    mark.one = one;
    mark.segment.style = `${style}; --strength: ${strength}%`;
    mark.line.style = style;
    placeMark(mark, one);
    mark.label.textContent = one.label;
    mark.score.textContent = scoreOf(one);
    mark.score.title = one.accepted ? "Accepted" : "";
    for (const node of [mark.segment, mark.line]) {
      node.classList.toggle("accepted", one.accepted);
      node.classList.toggle("selected", chosen);
    }
    mark.segment.setAttribute("aria-pressed", chosen);
  }
  for (const [label, { row, lane }] of rows) {
    const here = shown.filter((one) => one.label === label);
    row.hidden = !here.length && !data.detections.some((found) => found.label === label);
    arrange(lane, here.map((one) => marks.get(one.id).segment));
  }
  arrange(get("table"), shown.map((one) => marks.get(one.id).line));
  const chosen = marks.get(selected);
  for (const handle of handles) if (chosen) rowOf(chosen.one.label).lane.append(handle); else handle.remove();
  const many = review.segments.length, text = review.least.toFixed(3);
  get("count").textContent = shown.length < many ? `${shown.length} of ${many}` : many || "";
  get("none").textContent = many ? `No action has a score of at least ${text}.` : "No action was found.";
  get("none").hidden = shown.length > 0;
  get("scroll").hidden = shown.length === 0;
  get("shown").textContent = text;
  get("least").value = review.least;
  showTime();
}

/** Put elements first into their parent, in order; what is in its place is not moved. */
function arrange(parent, nodes) {
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}

function addMark(id) {
  const go = () => { select(id); seek(marks.get(id).one.start_s); };
  const say = () => {
    const { one, segment } = marks.get(id);
    showTip(`${one.label}\n${spanOf(one)}\n${one.accepted ? "accepted" : `score ${scoreOf(one)}`}`, segment);
  };
  const press = (event) => { if (["Enter", " "].includes(event.key)) { event.preventDefault(); event.stopPropagation(); go(); } };
  const segment = make("rect", { class: "segment", role: "button", tabindex: 0, height: "100%", rx: 3, "data-id": id,
    click: go, keydown: press, pointerenter: say, focus: say, pointerleave: hideTip, blur: hideTip });
  const time = make("button", { type: "button" }), label = make("td"), score = make("td", { class: "number" });
  const line = make("tr", { class: "detection-row", click: go }, make("td", { class: "number" }, time), label, score);
  marks.set(id, { segment, time, label, score, line });
  return marks.get(id);
}

/** Show a segment where it is, or where it is being dragged. */
function placeMark({ one, segment, time }, { start_s, end_s }) {
  segment.setAttribute("x", percent(start_s));
  segment.style.width = `max(3px, ${percent(end_s - start_s)})`; // 2 s of 2 h can be clicked
  const score = one.accepted ? "accepted" : `score ${scoreOf(one)}`;
  segment.setAttribute("aria-label", `${one.label}, ${spanOf({ start_s, end_s })}, ${score}`);
  time.textContent = spanOf({ start_s, end_s }, DIGITS);
  if (one.id !== selected) return;
  handles[0].setAttribute("x", percent(start_s));
  handles[1].setAttribute("x", percent(end_s));
}

function addCurves() {
  for (const curve of data.curves) {
    const box = { viewBox: `0 0 ${data.duration_s} 1`, preserveAspectRatio: "none", role: "img", "aria-label": curve.title };
    const { lane, number } = addRow(curve.title, "curve", box);
    if (!curve.values.length) continue;
    const points = curve.values.map((value, index) => `L${curve.first_s + index * curve.step_s} ${1 - value}`);
    const close = `H${data.duration_s + 1} V2 Z`; // what closes the outline lies outside of the picture
    lane.append(make("path", { d: `M-1 2 V${1 - curve.values[0]} ${points.join(" ")} ${close}` }));
    values.push({ curve, number });
  }
}

function addProbabilities() {
  for (const [label, probability] of data.probabilities) {
    const share = (100 * probability).toFixed(1), number = make("span", { class: "number" }, `${share} %`);
    get("classes").append(make("li", { style: `--share: ${share}%` }, make("span", {}, label), number));
  }
  get("probabilities").hidden = !data.probabilities.length;
}

function addTicks() {
  const most = get("ticks").clientWidth / TICK_PX;
  const step = STEPS_S.find((step) => data.duration_s / step <= most) ?? STEPS_S.at(-1);
  get("ticks").replaceChildren();
  for (let time = 0, index = 0; time <= data.duration_s; time = ++index * step) {
    const where = index ? (data.duration_s - time < step / 3 ? "last" : "") : "first";
    const text = make("span", { class: "number" }, clock(time, step < 1 ? 1 : 0));
    get("ticks").append(make("div", { class: `tick ${where}`, style: `left: ${percent(time)}` }, text));
  }
}

function showTime() {
  const time = player.currentTime;
  get("playhead").style.left = percent(time);
  for (const { one, segment, line } of marks.values()) {
    const now = one.start_s <= time && time < one.end_s;
    for (const node of [segment, line]) node.classList.toggle("now", now);
  }
  for (const { curve, number } of values) {
    const index = Math.round((time - curve.first_s) / curve.step_s);
    number.textContent = curve.values[clamp(index, 0, curve.values.length - 1)].toFixed(2);
  }
}

/** Stretch the timeline, with the time of the player in its middle. */
let zoom = 1;
function zoomBy(factor) {
  const scroller = get("scroller");
  zoom = clamp(zoom * factor, 1, Math.max(1, data.duration_s)); // at most the second fills the screen
  get("timeline").style.setProperty("--zoom", zoom);
  scroller.scrollLeft = timeX() - scroller.clientWidth / 2;
  for (const [id, at] of [["zoom-out", 1], ["zoom-in", Math.max(1, data.duration_s)]]) get(id).disabled = zoom === at;
}

const timeX = () => get("lanes").offsetLeft + (player.currentTime / data.duration_s) * get("lanes").clientWidth;

/** Bring the playhead into view. */
function follow() {
  const scroller = get("scroller"), x = timeX() - scroller.scrollLeft;
  if (x < get("lanes").offsetLeft || x > scroller.clientWidth) scroller.scrollLeft = timeX() - scroller.clientWidth / 2;
}

function showTip(text, node, x = null) {
  const tip = get("tip"), box = node.getBoundingClientRect();
  tip.textContent = text;
  tip.hidden = false;
  const left = (x ?? box.left + box.width / 2) - tip.offsetWidth / 2;
  tip.style.left = `${clamp(left, 8, document.documentElement.clientWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${box.top > tip.offsetHeight + 14 ? box.top - tip.offsetHeight - 8 : box.bottom + 8}px`;
}
function hideTip() { get("tip").hidden = true; }
