// The index of all videos: sorted, filtered, with the state of the review that the browser keeps of each.

const STATES = { untouched: "not started", edited: "started", reviewed: "reviewed" };
const SORTS = {
  doubt: (a, b) => b.video.doubt - a.video.doubt,
  title: (a, b) => a.video.title.localeCompare(b.video.title, undefined, { numeric: true }),
  duration: (a, b) => b.video.duration_s - a.video.duration_s,
  count: (a, b) => b.shown.length - a.shown.length,
};
const cards = data.videos.map((video) => ({ video, node: make("li") }));
const classes = [...new Set(data.videos.flatMap((video) => video.detections.map((one) => one.label)))].sort();

/** Read what the browser keeps of a video. */
function readReview(card) {
  const edited = stored(card.video.key);
  card.review = edited ?? untouched(card.video);
  card.shown = kept(card.review);
  card.state = card.review.reviewed || card.video.reviewed ? "reviewed" : edited ? "edited" : "untouched";
}

function draw(card) {
  const { video, shown, state } = card, names = [...new Set(shown.map((one) => one.label))];
  const counts = names.map((name) => `${name} ${shown.filter((one) => one.label === name).length}`);
  const share = (time) => `${(100 * time) / video.duration_s}%`;
  const strip = make("svg", { class: "strip", "aria-hidden": "true" }, ...shown.map((one) => make("rect", {
    x: share(one.start_s), width: share(one.end_s - one.start_s), height: "100%",
    style: `--colour: ${COLOURS[classes.indexOf(one.label) % COLOURS.length] ?? COLOURS.at(-1)}` })));
  const picture = video.thumbnail ? make("img", { src: `data:image/jpeg;base64,${video.thumbnail}`, alt: "", loading: "lazy" })
    : make("span", { class: "blank" });
  card.node.replaceChildren(make("a", { href: `${encodeURIComponent(video.page)}#index` },
    picture, make("strong", {}, video.title),
    make("span", { class: "about" }, `${clock(video.duration_s)} · doubt ${video.doubt.toFixed(2)} · ${counts.join(", ") || "no action"}`),
    make("span", { class: `state ${state}` }, STATES[state]), strip));
}

/** Show the videos that the filters leave, in order; the pages follow the same order. */
function list() {
  const label = get("class").value, state = get("state").value, search = get("search").value.toLowerCase();
  const chosen = cards.filter((card) => (!label || card.shown.some((one) => one.label === label))
    && (!state || card.state === state) && card.video.title.toLowerCase().includes(search));
  chosen.sort(SORTS[get("sort").value]);
  get("videos").replaceChildren(...chosen.map((card) => card.node));
  store("order", chosen.map((card) => card.video.page));
  get("count").textContent = `${chosen.length} of ${cards.length} videos`;
  const done = cards.filter((card) => card.state === "reviewed").length;
  Object.assign(get("progress"), { max: cards.length, value: done });
  get("done").textContent = `${done} of ${cards.length} reviewed`;
}

function refresh() {
  for (const card of cards) {
    readReview(card);
    draw(card);
  }
  const names = [...new Set([...classes, ...cards.flatMap((card) => card.shown.map((one) => one.label))])].sort();
  const chosen = get("class").value;
  get("class").replaceChildren(make("option", { value: "" }, "all"), ...names.map((name) => make("option", { value: name }, name)));
  get("class").value = names.includes(chosen) ? chosen : "";
  list();
}

function exportAll() {
  const edited = cards.filter((card) => stored(card.video.key));
  if (!edited.length) return tell("This browser has no corrections of these videos.");
  download("all.corrected.json", activityNet(edited.map((card) => [card.video, card.review])));
}

async function importFiles(files) {
  let count = 0;
  const wrong = [];
  for (const file of files) {
    const content = await readJson(file);
    let found = 0;
    for (const { video } of cards) {
      try {
        const review = reviewIn(content, video);
        if (review && store(video.key, review)) found++;
      } catch {
        found = 0;
        break;
      }
    }
    if (!found) wrong.push(file.name);
    count += found;
  }
  tell([count && `Imported ${count} ${count === 1 ? "video" : "videos"}.`,
    wrong.length && `No segments of these videos: ${wrong.join(", ")}.`].filter(Boolean).join(" "));
  refresh();
}

for (const id of ["sort", "class", "state", "search"]) get(id).addEventListener("input", list);
get("export").addEventListener("click", exportAll);
get("import").addEventListener("change", async () => { await importFiles(get("import").files); get("import").value = ""; });
addEventListener("storage", refresh); // a page in another tab
addEventListener("pageshow", (event) => { if (event.persisted) refresh(); }); // back from a page
refresh();
