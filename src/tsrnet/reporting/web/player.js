// The player: the embedded video, a file that the reader chooses, or pictures.

/** Pictures for want of a video: has of HTMLMediaElement what this page uses. */
class ThumbnailPlayer extends HTMLElement {
  paused = true;
  #time = 0;
  #image = make("img", { alt: "" });
  #button = make("button", { type: "button", click: () => (this.paused ? this.play() : this.pause()) }, "Play");
  #slider = make("input", { type: "range", max: data.duration_s, step: "any", "aria-label": "Time",
    input: () => { this.currentTime = Number(this.#slider.value); } });
  #clock = make("span", { class: "number" });

  connectedCallback() { this.append(this.#image, this.#button, this.#slider, this.#clock); }
  get currentTime() { return this.#time; }
  set currentTime(time) {
    this.#time = clamp(time, 0, data.duration_s);
    const shown = data.thumbnails.findLast(([second]) => second <= this.#time) ?? data.thumbnails[0];
    const source = shown && `data:image/jpeg;base64,${shown[1]}`;
    if (source && this.#image.src !== source) this.#image.src = source;
    this.#slider.value = this.#time;
    this.#slider.setAttribute("aria-valuetext", clock(this.#time, DIGITS));
    this.#clock.textContent = `${clock(this.#time, DIGITS)} / ${clock(data.duration_s, DIGITS)}`;
    this.dispatchEvent(new Event("timeupdate"));
  }
  play() {
    if (this.#time >= data.duration_s) this.currentTime = 0;
    this.paused = false;
    this.#button.textContent = "Pause";
    let before = performance.now();
    const step = (now) => {
      if (this.paused) return;
      this.currentTime += Math.max(0, now - before) / 1000; // the first frame may have begun before the click
      before = now;
      if (this.#time >= data.duration_s) this.pause(); else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
  pause() {
    this.paused = true;
    this.#button.textContent = "Play";
  }
}
customElements.define("thumbnail-player", ThumbnailPlayer);

let player = get("player"); // the video or the pictures

function openEmbedded() {
  if (!data.video) return usePictures("The video is not embedded");
  const characters = atob(get("video").textContent), bytes = new Uint8Array(characters.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = characters.charCodeAt(index);
  get("video").remove(); // its text is larger than the file
  openVideo(new Blob([bytes], { type: data.video })); // seeks, unlike a data: URI
}

function openVideo(file) {
  const video = make("video", { id: "player", controls: "", playsinline: "", preload: "auto" });
  const fail = () => { if (player === video) usePictures("This browser cannot play the video"); };
  video.addEventListener("error", fail);
  video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) fail(); }); // plays the sound alone
  video.addEventListener("play", function frame() { showTime(); if (!video.paused) requestAnimationFrame(frame); });
  video.addEventListener("timeupdate", () => { if (!video.paused) follow(); });
  for (const event of ["timeupdate", "seeking", "seeked"]) video.addEventListener(event, showTime);
  video.src = URL.createObjectURL(file);
  usePlayer(video);
  get("fallback").hidden = true;
}

function usePictures(reason) {
  usePlayer(make("thumbnail-player", { id: "player", timeupdate: showTime }));
  get("fallback").hidden = false;
  get("reason").textContent = `${reason}; ${data.thumbnails.length ? "here are" : "there are no"} pictures of it.`;
}

function usePlayer(next) {
  const time = player.currentTime;
  player.pause();
  player.replaceWith(next);
  player = next;
  player.currentTime = time;
}

function seek(time) {
  player.currentTime = clamp(time, 0, data.duration_s);
  showTime();
}
