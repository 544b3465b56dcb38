// A song comes from a file or the microphone, goes to the server, and its answer becomes a panel per model.

const COLOURS = 10; // in demo.css
const SHOWN = 10; // genres, before one asks for all
const NARROWEST_TICK = 84; // pixels
const TICK_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];
const RECORDED_RATE = 44100; // Hz

const $ = (selector, root = document) => root.querySelector(selector);
const audio = $("#audio");
let limits = { models: [], max_bytes: Infinity, max_seconds: Infinity };
let song = null; // { file, seconds, playable, panels }
let position = 0; // seconds
let pending = null; // the AbortController of the request that is waited for
let recording = null; // { recorder, keep }

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const percent = (share) => (share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`);

function setState(state) {
  document.body.dataset.state = state;
}

function say(sentence) {
  $("#status").textContent = sentence;
}

function fail(sentence) {
  $("#error").textContent = sentence;
  $("#error").hidden = false;
}

/** The server's answer to a song as JSON; its refusal becomes an Error with one sentence. */
async function ask(address, file, signal) {
  let response;
  try {
    response = await fetch(address, { method: "POST", body: file, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The program does not answer; see whether it still runs in its terminal.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

// A song

async function analyse(file) {
  $("#error").hidden = true;
  if (file.size > limits.max_bytes) {
    fail(`${file.name} is too large; up to ${limits.max_bytes / 1e6} MB are accepted (max_megabytes).`);
    return;
  }
  pending?.abort();
  const controller = (pending = new AbortController());
  open(file);
  const begun = performance.now();
  const count = () => ($("#busy").dataset.seconds = Math.round((performance.now() - begun) / 1000));
  count();
  const timer = setInterval(count, 1000);
  say("Analysing the song…");
  try {
    show(await ask("/analysis", file, controller.signal));
  } catch (error) {
    if (error.name === "AbortError") return;
    close();
    say("");
    setState("empty");
    fail(`${file.name}: ${error.message}`);
  } finally {
    clearInterval(timer);
  }
}

function open(file) {
  close();
  song = { file, seconds: 0, playable: true, panels: null };
  audio.src = URL.createObjectURL(file);
  $("#title").textContent = $("#title").title = file.name;
  $("#total").textContent = "";
  $("#play").disabled = false;
  for (const path of [$("#ahead"), $("#behind")]) path.removeAttribute("d");
  $("#results").replaceChildren();
  setState("busy");
  seek(0);
}

function close() {
  audio.pause();
  if (audio.src) URL.revokeObjectURL(audio.src);
  audio.removeAttribute("src");
  song = null;
}

function show(answer) {
  song.seconds = answer.seconds;
  showLength();
  $("#position").max = answer.seconds;
  drawWave(answer.peaks);
  const colourOf = genreColours(answer.models);
  song.panels = answer.models.map((result, index) => panel(limits.models[index], result, index, colourOf));
  $("#results").replaceChildren(...song.panels.map((one) => one.element));
  setState("result");
  song.panels.forEach((one) => one.layOut());
  say(song.panels.map((one) => one.sentence).join(" "));
  paint();
}

function drawWave(peaks) {
  const step = 400 / peaks.length;
  const line = peaks.map((peak, index) => {
    const half = Math.max(0.6, 22 * peak);
    return `M${(index + 0.5) * step} ${24 - half}V${24 + half}`;
  });
  for (const path of [$("#ahead"), $("#behind")]) path.setAttribute("d", line.join(""));
}

/** A colour per genre, the same for all models: by its place in the list, or by rank where there are more genres. */
function genreColours(results) {
  const highest = new Map();
  results.forEach((result, model) => {
    limits.models[model].genres.forEach((genre, index) => {
      highest.set(genre, Math.max(highest.get(genre) ?? 0, result.probabilities[index]));
    });
  });
  const genres = [...highest.keys()];
  if (genres.length > COLOURS) genres.sort((one, other) => highest.get(other) - highest.get(one));
  const colours = new Map(genres.slice(0, COLOURS).map((genre, index) => [genre, `g${index}`]));
  return (genre) => colours.get(genre) ?? "rest";
}

// Playing

function seek(seconds) {
  position = Math.min(Math.max(0, seconds), song?.seconds || 0);
  if (song?.playable && audio.readyState > 0) audio.currentTime = position;
  paint();
}

function paint() {
  const at = song?.seconds ? Math.min(1, position / song.seconds) : 0;
  document.documentElement.style.setProperty("--at", at);
  $("#now").textContent = clock(position);
  $("#position").value = position;
  $("#position").setAttribute("aria-valuetext", `${clock(position)} of ${clock(song?.seconds ?? 0)}`);
  song?.panels?.forEach((one) => one.read(position));
}

function follow() {
  position = audio.currentTime;
  paint();
  if (!audio.paused) requestAnimationFrame(follow);
}

function toggle() {
  if (!song?.playable) return;
  if (audio.paused) audio.play().catch(() => {});
  else audio.pause();
}

function mute() {
  if (!song || !audio.hasAttribute("src")) return;
  song.playable = false;
  $("#play").disabled = true;
  showLength();
}

function showLength() {
  const length = song.seconds ? clock(song.seconds) : "";
  $("#total").textContent = song.playable ? length : `${length} (not a format that this browser plays)`;
}

// A model's panel

function panel(model, result, index, colourOf) {
  const element = $("#panel").content.firstElementChild.cloneNode(true);
  const ranked = model.genres.map((genre, place) => ({ genre, place, share: result.probabilities[place] }));
  ranked.sort((one, other) => other.share - one.share);
  const verdict = result.predicted.join(" & ") || "no genre";
  $(".model", element).textContent = model.name;
  $(".verdict", element).textContent = verdict;
  $(".uncertain", element).hidden = !result.uncertain;
  $(".note", element).textContent = [...result.notes, ...model.notes].join(" ");
  fillBars(element, ranked, result.predicted, colourOf);
  const windows = timeline(element, model, result, ranked, colourOf);
  $(".mel", element).src = result.spectrogram;
  for (const [hertz, height] of result.ticks) {
    const tick = Object.assign(document.createElement("li"), { textContent: hertz < 1000 ? hertz : `${hertz / 1024}k` });
    tick.style.bottom = `${100 * height}%`;
    $(".hertz", element).append(tick);
  }
  offerEvidence(element, model, index);
  for (const plot of element.querySelectorAll(".plot")) {
    plot.addEventListener("click", (event) => {
      const box = plot.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * song.seconds);
    });
  }
  return {
    element,
    sentence: `${model.name}: ${verdict}, ${percent(ranked[0].share)}${result.uncertain ? ", uncertain" : ""}.`,
    read: (seconds) => readOut(element, model, windows, seconds),
    layOut: () => layTicks($(".ticks", element)),
  };
}

function fillBars(element, ranked, predicted, colourOf) {
  const rows = ranked.map(({ genre, share }) => {
    const row = $("#bar").content.firstElementChild.cloneNode(true);
    row.classList.add(colourOf(genre));
    row.classList.toggle("chosen", predicted.includes(genre));
    $(".name", row).textContent = $(".name", row).title = genre;
    $(".fill", row).style.width = `${100 * share}%`;
    $(".percent", row).textContent = percent(share);
    return row;
  });
  const more = $(".more", element);
  $(".bars", element).append(...rows.slice(0, SHOWN));
  more.hidden = rows.length <= SHOWN;
  more.textContent = `Show all ${rows.length} genres`;
  more.addEventListener("click", () => {
    $(".bars", element).append(...rows.slice(SHOWN));
    more.hidden = true;
  });
}

/** Draw the stacked probabilities; returns the middle of each window, in seconds, and its probabilities. */
function timeline(element, model, result, ranked, colourOf) {
  const middles = result.spans.map(([begin, end]) => (begin + end) / 2);
  const points = [0, ...middles, song.seconds]; // the first and last windows reach to the ends
  const rows = [result.over_time[0], ...result.over_time, result.over_time.at(-1)];
  const highest = Math.max(1, ...rows.map((row) => row.reduce((sum, share) => sum + share, 0)));
  const blank = $(".timeline path", element);
  let below = rows.map(() => 0);
  for (const { genre, place } of ranked) {
    const above = rows.map((row, index) => below[index] + row[place] / highest);
    const path = blank.cloneNode();
    const corner = (heights) => (seconds, index) => `${(1000 * seconds) / song.seconds} ${100 - 100 * heights[index]}`;
    path.setAttribute("d", `M${points.map(corner(above)).join("L")}L${points.map(corner(below)).reverse().join("L")}Z`);
    path.setAttribute("class", colourOf(genre));
    blank.before(path);
    below = above;
  }
  blank.remove();
  const windows = { middles, rows: result.over_time };
  $(".timeline svg", element).setAttribute("aria-label", course(model, result.spans, windows));
  return windows;
}

/** The most probable genres in their order, in words. */
function course(model, spans, { rows }) {
  const parts = [];
  rows.forEach((row, index) => {
    const genre = model.genres[row.indexOf(Math.max(...row))];
    if (parts.at(-1)?.genre !== genre) parts.push({ genre, begin: spans[index][0] });
  });
  return `Most probable: ${parts.map(({ genre, begin }) => `${genre} from ${clock(begin)}`).join(", ")}`;
}

function readOut(element, model, { middles, rows }, seconds) {
  let nearest = 0;
  middles.forEach((middle, index) => {
    if (Math.abs(middle - seconds) < Math.abs(middles[nearest] - seconds)) nearest = index;
  });
  const best = rows[nearest].map((share, place) => [share, model.genres[place]]).sort((one, other) => other[0] - one[0]);
  const words = best.slice(0, 2).map(([share, genre]) => `${genre} ${percent(share)}`);
  $(".readout", element).textContent = `at ${clock(seconds)}: ${words.join(", ")}`;
}

function layTicks(list) {
  const fitting = list.clientWidth / NARROWEST_TICK;
  const step = TICK_SECONDS.find((seconds) => song.seconds / seconds <= fitting) ?? TICK_SECONDS.at(-1);
  const ticks = [];
  for (let at = 0; at < song.seconds - step / 3; at += step) {
    const tick = Object.assign(document.createElement("li"), { textContent: clock(at) });
    tick.style.left = `${(100 * at) / song.seconds}%`;
    ticks.push(tick);
  }
  list.replaceChildren(...ticks);
}

function offerEvidence(element, model, index) {
  const label = $(".evidence", element);
  label.hidden = !model.explains;
  const [choice, plot, map] = [$("select", label), $(".spectrogram", element), $(".map", element)];
  for (const genre of model.genres) choice.append(new Option(genre, genre));
  const maps = new Map();
  choice.addEventListener("change", async () => {
    const genre = choice.value;
    if (genre && !maps.has(genre)) {
      plot.setAttribute("aria-busy", "true");
      try {
        const query = new URLSearchParams({ model: index, genre });
        maps.set(genre, (await ask(`/evidence?${query}`, song.file)).map);
      } catch (error) {
        fail(error.message);
      }
    }
    if (choice.value !== genre) return; // another was chosen meanwhile
    plot.removeAttribute("aria-busy");
    map.hidden = !maps.has(genre);
    plot.classList.toggle("explained", maps.has(genre));
    if (maps.has(genre)) map.src = maps.get(genre);
    map.alt = genre && `Grad-CAM: where the network finds ${genre}`;
    $(".caption", element).textContent = maps.has(genre)
      ? `Grad-CAM: yellow is where the network finds most evidence for ${genre}, within each of its windows.`
      : "";
  });
}

// The microphone

async function record() {
  let stream;
  $("#error").hidden = true;
  try {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
  } catch {
    fail("The microphone cannot be used; connect one, and allow it in the browser's address bar.");
    return;
  }
  pending?.abort();
  close();
  say("");
  const chunks = [];
  const recorder = new MediaRecorder(stream);
  const mine = (recording = { recorder, keep: true, begun: performance.now() });
  recorder.addEventListener("dataavailable", (event) => chunks.push(event.data));
  recorder.addEventListener("stop", async () => {
    recording = null;
    stream.getTracks().forEach((track) => track.stop());
    setState("empty");
    if (!mine.keep) return;
    try {
      const name = `Recording ${new Date().toTimeString().slice(0, 5)}.wav`;
      analyse(new File([await waveFile(new Blob(chunks))], name, { type: "audio/wav" }));
    } catch {
      fail("The recording is empty; record at least a second.");
    }
  });
  recorder.start();
  setState("recording");
  $("#stop").focus();
  meter(stream, mine);
}

/** Show the time and the level of a recording, and end it at the limit. */
function meter(stream, mine) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const tick = () => {
    if (recording !== mine) {
      context.close();
      return;
    }
    const seconds = (performance.now() - mine.begun) / 1000;
    analyser.getFloatTimeDomainData(samples);
    $(".level").style.setProperty("--level", Math.min(1, 4 * Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length)));
    $("#elapsed").textContent = clock(seconds);
    if (seconds > limits.max_seconds - 1) mine.recorder.stop();
    requestAnimationFrame(tick);
  };
  tick();
}

function finish(keep) {
  if (!recording || recording.recorder.state === "inactive") return;
  recording.keep = keep;
  recording.recorder.stop();
}

/** A recording as a WAV of 16 bits, so that the server needs no decoder for the browser's own format. */
async function waveFile(blob) {
  const decoder = new OfflineAudioContext(1, 1, RECORDED_RATE);
  const decoded = await decoder.decodeAudioData(await blob.arrayBuffer());
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, index) => decoded.getChannelData(index));
  const view = new DataView(new ArrayBuffer(44 + 2 * decoded.length));
  const text = (at, word) => [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * decoded.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, RECORDED_RATE, true);
  view.setUint32(28, 2 * RECORDED_RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * decoded.length, true);
  for (let index = 0; index < decoded.length; index++) {
    const sample = channels.reduce((sum, channel) => sum + channel[index], 0) / channels.length;
    view.setInt16(44 + 2 * index, Math.round(32767 * Math.min(1, Math.max(-1, sample))), true);
  }
  return view.buffer;
}

// The page

$("#file").addEventListener("change", ({ target }) => {
  if (target.files.length) analyse(target.files[0]);
  target.value = ""; // the same file may be chosen again
});
$("#record").addEventListener("click", record);
$("#stop").addEventListener("click", () => finish(true));
$("#discard").addEventListener("click", () => finish(false));
$("#play").addEventListener("click", toggle);
$("#position").addEventListener("input", ({ target }) => seek(Number(target.value)));
audio.addEventListener("play", () => {
  $("#play").classList.add("playing");
  $("#play").setAttribute("aria-label", "Pause");
  follow();
});
audio.addEventListener("pause", () => {
  $("#play").classList.remove("playing");
  $("#play").setAttribute("aria-label", "Play");
});
audio.addEventListener("error", mute);

let depth = 0; // dragenter and dragleave come for every element on the way
addEventListener("dragenter", () => document.body.classList.toggle("dragging", ++depth > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dragging", --depth > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length && !recording) analyse(event.dataTransfer.files[0]);
});
addEventListener("keydown", (event) => {
  if (event.code === "Space" && !event.target.closest("button, select, label")) {
    event.preventDefault();
    toggle();
  }
});
addEventListener("resize", () => song?.panels?.forEach((one) => one.layOut()));

$("#server").textContent = location.host;
$("#record").hidden = !navigator.mediaDevices || !window.MediaRecorder;
limits = await (await fetch("/models")).json();
$("#models").textContent = limits.models.map((model) => model.name).join("  ·  ");
$(".limits").textContent =
  `wav, mp3, flac, ogg, opus, au, aiff, or with FFmpeg m4a, aac and wma; up to ${limits.max_bytes / 1e6} MB and ${Math.floor(limits.max_seconds / 60)} minutes`;
document.body.dataset.ready = "";
