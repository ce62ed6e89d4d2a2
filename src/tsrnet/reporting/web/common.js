// Shared by the page of a video and the index of all videos: elements, times, files, and the reviews that the
// browser keeps. Everything below is one module: the files are put together when a page is written.

const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#2f74d8", "#d9730d", "#2b9a66", "#8a5cf0", "#0b8ea6", "#c04d9b", "#8c7a10", "#6b7a90"];

const get = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const hundredths = (value) => Math.round(100 * value) / 100;

/** An element; attributes that are functions listen, children that are strings become text, never HTML. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "path"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value); else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** m:ss, from an hour on h:mm:ss, with `digits` (0, 1 or 2) of the second. */
function clock(time, digits = 0) {
  const unit = 10 ** digits, all = Math.round(time * unit), seconds = Math.floor(all / unit);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const head = seconds < 3600 ? Math.floor(seconds / 60) : `${Math.floor(seconds / 3600)}:${two((seconds / 60) % 60)}`;
  return `${head}:${two(seconds % 60)}${digits ? `.${String(all % unit).padStart(digits, "0")}` : ""}`;
}

// A review: {segments: [{id, label, start_s, end_s, score, accepted}], least: a score, reviewed: true or false}.
// It is kept under a hash of the detections: other detections of the same video have a review of their own.

/** The review of a video that nobody has touched. Times are hundredths of a second, inside the video. */
function untouched(video) {
  const inside = (time) => clamp(hundredths(time), 0, video.duration_s);
  const segments = video.detections.map((found, id) =>
    ({ ...found, id, start_s: inside(found.start_s), end_s: inside(found.end_s), accepted: false }));
  return { segments, least: Math.min(0, ...segments.map((one) => one.score)), reviewed: false };
}

/** What a review keeps: what a person accepted, changed or added, and what the score does not leave out. */
function kept(review) {
  const shown = review.segments.filter((one) => one.accepted || one.score >= review.least - 1e-9);
  return shown.sort((a, b) => a.start_s - b.start_s || b.end_s - a.end_s || a.id - b.id);
}

const place = (key) => `tsrnet.review.${key}`;

function stored(key) {
  try {
    return JSON.parse(localStorage.getItem(place(key)));
  } catch {
    return null; // no storage, or not ours
  }
}

/** Keep a value under a key, null for none; false where the browser keeps nothing. */
function store(key, value) {
  try {
    if (value === null) localStorage.removeItem(place(key));
    else localStorage.setItem(place(key), JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Reviews of videos in ActivityNet's layout: pairs of a video and its review. */
function activityNet(pairs) {
  const database = {};
  for (const [video, review] of pairs) {
    const annotations = kept(review).map(({ label, start_s, end_s }) => ({ label, segment: [start_s, end_s] }));
    const entry = { duration: video.duration_s, subset: "validation", annotations };
    Object.defineProperty(database, video.id, { value: entry, enumerable: true }); // __proto__ is a name like others
  }
  return { version: "VERSION 1.3", taxonomy: [], database };
}

/** The review of a video that a file in ActivityNet's layout, or its submission format, describes; null for none. */
function reviewIn(content, video) {
  const own = (object) => (Object.hasOwn(object ?? {}, video.id) ? object[video.id] : undefined);
  const entry = own(content?.database), rows = entry?.annotations ?? own(content?.results);
  if (!Array.isArray(rows)) return null;
  const segments = rows.map((row, id) => {
    const [start_s, end_s] = row.segment.map((time) => clamp(hundredths(time), 0, video.duration_s));
    if (typeof row.label !== "string" || !row.label.trim() || !(start_s <= end_s)) throw new Error("not a segment");
    return { id, label: row.label.trim(), start_s, end_s, score: row.score ?? 1, accepted: Boolean(entry) };
  });
  return { segments, least: Math.min(0, ...segments.map((one) => one.score)), reviewed: Boolean(entry) };
}

async function readJson(file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    return null;
  }
}

function download(name, content) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function tell(text) { get("message").textContent = text; }
