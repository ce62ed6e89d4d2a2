// Correcting the detections: every edit goes through `change`, which keeps the review and can be undone.

const SHORTEST_S = 0.1, NEAR_PX = 6, LENGTH_S = 2;
let review = stored(data.key) ?? untouched(data);
let selected = null; // the id of a segment
let lastLabel = data.classes[0] ?? "";
let [past, future] = [[], []];

/** Apply an edit to the review, keep it and show it. */
function change(edit) {
  past.push(structuredClone(review));
  future = [];
  edit(review);
  show();
}

function undo(from, to) {
  if (!from.length) return;
  to.push(review);
  review = from.pop();
  if (!segmentOf(selected)) selected = null;
  show();
}

function show() {
  const same = JSON.stringify(review) === JSON.stringify(untouched(data)); // takes no space then
  if (!store(data.key, same ? null : review)) tell("This browser cannot keep your edits. Export them before you close the page.");
  drawSegments(review);
  const one = segmentOf(selected);
  get("edit").hidden = !one;
  get("hint").hidden = Boolean(one);
  if (one) {
    fillTimes(one);
    get("label").value = one.label;
    get("accept").disabled = one.accepted;
  }
  get("undo").disabled = !past.length;
  get("redo").disabled = !future.length;
  get("reviewed").checked = review.reviewed;
}

const segmentOf = (id) => kept(review).find((one) => one.id === id);
const boundsOf = (edge, one) => (edge === "start_s" ? [0, one.end_s - SHORTEST_S] : [one.start_s + SHORTEST_S, data.duration_s]);

function fillTimes(one) {
  get("start").value = one.start_s.toFixed(2);
  get("end").value = one.end_s.toFixed(2);
}

function select(id) {
  selected = id;
  if (id !== null) lastLabel = segmentOf(id).label;
  show();
}

/** Select the next or the previous segment in time. */
function step(by) {
  const shown = kept(review), time = player.currentTime;
  if (!shown.length) return;
  let index = shown.findIndex((one) => one.id === selected) + by;
  if (selected === null) index = by > 0 ? shown.findIndex((one) => one.start_s >= time) : shown.findLastIndex((one) => one.start_s <= time);
  const one = shown[clamp(index, 0, shown.length - 1)];
  select(one.id);
  const table = get("scroll"), { offsetTop, offsetHeight } = marks.get(one.id).line; // the page itself stays where it is
  table.scrollTop = clamp(table.scrollTop, offsetTop + offsetHeight - table.clientHeight, offsetTop - offsetHeight);
  seek(one.start_s);
}

/** Change the selected segment; a segment that a person changed is accepted. */
function edit(values) {
  if (!segmentOf(selected)) return;
  change(() => Object.assign(review.segments.find((one) => one.id === selected), { accepted: true }, values));
}

function moveEdge(edge, time) {
  const one = segmentOf(selected);
  if (one && Number.isFinite(time)) edit({ [edge]: hundredths(clamp(time, ...boundsOf(edge, one))) });
  show();
}

function relabel(text) {
  const label = text.trim();
  if (label && segmentOf(selected)) {
    lastLabel = label;
    edit({ label });
  }
  show();
}

function add() {
  const label = lastLabel || prompt("Class of the new segment")?.trim();
  if (!label) return;
  const id = 1 + Math.max(-1, ...review.segments.map((one) => one.id));
  const start_s = hundredths(clamp(player.currentTime, 0, data.duration_s - SHORTEST_S));
  const end_s = hundredths(Math.min(data.duration_s, start_s + LENGTH_S));
  change(() => review.segments.push({ id, label, start_s, end_s, score: 1, accepted: true }));
  select(id);
}

function remove() {
  const shown = kept(review), index = shown.findIndex((one) => one.id === selected);
  if (index < 0) return;
  const next = shown[index + 1] ?? shown[index - 1];
  change(() => { review.segments = review.segments.filter((one) => one.id !== selected); });
  select(next?.id ?? null);
}

function acceptAll() {
  const shown = new Set(kept(review).map((one) => one.id));
  change(() => review.segments.forEach((one) => { one.accepted ||= shown.has(one.id); }));
}

const toggleReviewed = () => change(() => { review.reviewed = !review.reviewed; });
const exportFile = () => download(`${data.id}.corrected.json`, activityNet([[data, review]]));

async function importFile(file) {
  const content = await readJson(file);
  let read = null;
  try {
    read = reviewIn(content, data);
  } catch {
    return tell(`${file.name} has a segment that is not valid.`);
  }
  if (!read) return tell(`${file.name} has no segments of the video ${data.id}; need ActivityNet's JSON.`);
  change(() => Object.assign(review, read));
  select(null);
  tell(`${file.name}: ${review.segments.length} segments.`);
}

function openNext(by) {
  const order = stored("order") ?? [], next = order[order.indexOf(data.page) + by];
  if (data.page && typeof next === "string") location.href = `${encodeURIComponent(next)}#index`;
}

// The pointer: an edge of a segment is dragged, a click beside segments moves the player.

function usePointer() {
  const timeline = get("timeline"), bare = (event) => !event.target.closest(".segment, .handle, .row > span");
  let dragging = false, drag = null, dragged = false; // the playhead; an edge; a drag has just ended
  const timeAt = (event) => {
    const box = get("lanes").getBoundingClientRect();
    return clamp((event.clientX - box.left) / box.width, 0, 1) * data.duration_s;
  };
  const edgeAt = (event) => {
    if (event.target.dataset.edge) return { edge: event.target.dataset.edge, id: selected };
    const segment = event.target.closest(".segment");
    if (!segment || event.pointerType !== "mouse") return null; // a finger takes the handles
    const box = segment.getBoundingClientRect(), near = Math.min(NEAR_PX, box.width / 3), id = Number(segment.dataset.id);
    if (event.clientX - box.left <= near) return { edge: "start_s", id };
    return box.right - event.clientX <= near ? { edge: "end_s", id } : null;
  };
  timeline.addEventListener("pointerdown", (event) => {
    dragged = false;
    dragging = event.pointerType === "mouse" && bare(event);
    const found = event.button === 0 && edgeAt(event);
    if (!found) return;
    event.preventDefault();
    timeline.setPointerCapture(event.pointerId);
    if (selected !== found.id) select(found.id);
    drag = { ...found, from: event.clientX, offset: timeAt(event) - segmentOf(found.id)[found.edge], now: null };
  });
  timeline.addEventListener("pointermove", (event) => {
    if (drag) {
      const mark = marks.get(drag.id);
      if (drag.now === null && Math.abs(event.clientX - drag.from) < 2) return;
      drag.now = hundredths(clamp(timeAt(event) - drag.offset, ...boundsOf(drag.edge, mark.one)));
      const moved = { ...mark.one, [drag.edge]: drag.now };
      placeMark(mark, moved);
      fillTimes(moved);
      seek(drag.now); // the frame at the edge is what one looks at
      return showTip(clock(drag.now, 2), mark.segment, event.clientX);
    }
    timeline.classList.toggle("edge", Boolean(edgeAt(event)));
    if (dragging && event.buttons & 1) seek(timeAt(event));
    if (bare(event)) showTip(clock(timeAt(event), 1), timeline, event.clientX);
    else if (!event.target.closest(".segment")) hideTip();
  });
  const end = (event) => {
    if (!drag) return;
    const { edge, id, now } = drag;
    drag = null;
    dragged = true;
    if (event.type === "pointercancel") return show();
    if (now === null) return seek(segmentOf(id).start_s); // a click
    edit({ [edge]: now });
  };
  timeline.addEventListener("pointerup", end);
  timeline.addEventListener("pointercancel", end);
  timeline.addEventListener("click", (event) => { if (bare(event) && !dragged) { select(null); seek(timeAt(event)); } });
  timeline.addEventListener("pointerleave", hideTip);
  addEventListener("scroll", hideTip, true);
}

// Keys: the list is what the help shows.

const KEYS = [
  ["Space", "Play or pause", () => (player.paused ? player.play() : player.pause())],
  ["ArrowLeft", "One second back", () => seek(player.currentTime - 1)],
  ["ArrowRight", "One second forward", () => seek(player.currentTime + 1)],
  [",", "One frame back", () => seek(player.currentTime - 1 / 30)],
  [".", "One frame forward", () => seek(player.currentTime + 1 / 30)],
  ["J", "Next segment", () => step(1)],
  ["K", "Previous segment", () => step(-1)],
  ["N", "New segment at the time of the player", add],
  ["I", "The segment starts at the time of the player", () => moveEdge("start_s", player.currentTime)],
  ["O", "The segment ends at the time of the player", () => moveEdge("end_s", player.currentTime)],
  ["C", "Change the class", () => { if (segmentOf(selected)) { get("label").focus(); get("label").select(); } }],
  ["A", "Accept the segment", () => edit({})],
  ["Shift+A", "Accept all segments that are shown", acceptAll],
  ["Delete", "Delete the segment", remove],
  ["Z", "Undo", () => undo(past, future)],
  ["Shift+Z", "Redo", () => undo(future, past)],
  ["R", "The video is reviewed, or not", toggleReviewed],
  ["X", "Export the segments that are shown", exportFile],
  ["+", "Zoom in", () => zoomBy(2)],
  ["-", "Zoom out", () => zoomBy(1 / 2)],
  ["Shift+N", "Next video of the index", () => openNext(1)],
  ["Shift+P", "Previous video of the index", () => openNext(-1)],
  ["Escape", "Select nothing", () => select(null)],
  ["?", "Show the keys", () => get("help").showModal()],
];

function useKeys() {
  for (const [key, text] of KEYS) get("keys").append(make("dt", {}, make("kbd", {}, key.replace("Arrow", ""))), make("dd", {}, text));
  const numbered = data.classes.slice(0, 9).map((name, index) => `${index + 1} ${name}`).join(", ");
  if (numbered) get("keys").append(make("dt", {}, make("kbd", {}, "1"), " – ", make("kbd", {}, "9")), make("dd", {}, `Class: ${numbered}`));
  addEventListener("keydown", (event) => {
    const field = event.target.closest("input:not([type=checkbox], [type=range]), select");
    if (field && event.key === "Escape") show(); // what was typed is dropped
    if (field && ["Enter", "Escape"].includes(event.key)) return field.blur();
    if (field || event.altKey || get("help").open) return;
    const key = { " ": "Space", Backspace: "Delete" }[event.key] ?? event.key, letter = /^[a-z]$/i.test(key);
    if ((event.ctrlKey || event.metaKey) && key.toUpperCase() !== "Z") return;
    // These belong to the element that has the focus.
    if (key === "Space" && event.target.closest("button, a, input, video, label")) return;
    if (key.startsWith("Arrow") && event.target.closest("input, video")) return;
    const name = letter ? `${event.shiftKey ? "Shift+" : ""}${key.toUpperCase()}` : key;
    const found = KEYS.find(([wanted]) => wanted === name), label = /^[1-9]$/.test(key) && data.classes[key - 1];
    if (!found && !label) return;
    event.preventDefault();
    if (label) relabel(label); else found[2]();
    follow();
  });
}

function useForm() {
  const on = (id, event, listener) => get(id).addEventListener(event, listener);
  on("start", "change", () => moveEdge("start_s", get("start").valueAsNumber));
  on("end", "change", () => moveEdge("end_s", get("end").valueAsNumber));
  on("label", "change", () => relabel(get("label").value));
  on("edit", "submit", (event) => event.preventDefault());
  const buttons = { add, delete: remove, accept: () => edit({}), "accept-all": acceptAll, undo: () => undo(past, future),
    redo: () => undo(future, past), export: exportFile, keys: () => get("help").showModal(), "zoom-in": () => zoomBy(2),
    "zoom-out": () => zoomBy(1 / 2), close: () => get("help").close(), next: () => openNext(1) };
  for (const [id, listener] of Object.entries(buttons)) on(id === "keys" ? "show-keys" : id, "click", listener);
  on("reviewed", "change", toggleReviewed);
  on("import", "change", () => { importFile(get("import").files[0]); get("import").value = ""; });
  on("file", "change", () => openVideo(get("file").files[0]));
  on("least", "input", () => { review.least = Number(get("least").value); show(); });
  for (const name of data.classes) get("names").append(make("option", { value: name }));
}

document.title = get("title").textContent = data.title;
get("note").textContent = data.note;
get("duration").textContent = clock(data.duration_s, DIGITS);
const scores = data.detections.map((found) => found.score);
Object.assign(get("least"), { min: Math.min(0, ...scores), max: highest });
get("filter").hidden = !labels.length;
get("back").hidden = get("next").hidden = location.hash !== "#index";
labels.forEach(rowOf);
addCurves();
addProbabilities();
useForm();
useKeys();
openEmbedded();
usePointer();
zoomBy(1);
show();
new ResizeObserver(addTicks).observe(get("timeline"));
