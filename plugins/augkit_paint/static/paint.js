import { Board } from "./board.js";
import { Drawing } from "./drawing.js";
import * as server from "./server.js";

const STROKE_MILLISECONDS = 100; // a generator that is faster paints while the pointer is down
const EXACT_MILLISECONDS = 1000; // one that is slower than this paints exact bytes only when asked for them
const REST_MILLISECONDS = 250; // after which the page judges, and fills the strip

const $ = (id) => document.getElementById(id);
const picked = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;

let facts, drawing, maskBoard, imageBoard;
let generator = 0, number = 0, stripBase = 0, label = 1;
let shown = null; // the last painted image: { bitmap, blob, exact, ... }
let foundCells = null, underlay = null;
let comparing = false, pointerDown = false, penDown = false, lastPlace = null;
let dirty = false, running = null, restTimer = 0, version = 0;
const usual = new Map(); // generator -> milliseconds of its last paintings

function say(text, seconds = 6) {
  $("say").textContent = text;
  clearTimeout(say.timer);
  if (text) say.timer = setTimeout(() => { $("say").textContent = ""; }, seconds * 1000);
}

function guarded(work) {
  return async (...given) => {
    try { return await work(...given); }
    catch (error) { if (!(error instanceof server.Superseded)) say(error.message, 12); }
  };
}

// Showing

function redraw() {
  maskBoard.mask(drawing.cells);
  if (underlay) { maskBoard.picture(underlay, true); maskBoard.mask(drawing.cells, 0.45); }
  maskBoard.marks(brushSize());
  const view = comparing ? (picked("view") === "mask" ? "image" : "mask") : picked("view");
  if (view === "mask" || !shown) imageBoard.mask(drawing.cells);
  else {
    imageBoard.picture(shown.bitmap, true);
    if (view === "outline") imageBoard.outline(drawing.cells, facts.labels.length > 2 ? undefined : "#ffffff");
    if ($("show-found").checked && foundCells) imageBoard.found(foundCells);
  }
  imageBoard.marks(brushSize());
  $("undo").disabled = !drawing.past.length;
  $("redo").disabled = !drawing.future.length;
}

function showPace(answer) {
  const exact = answer.exact ? "the bytes of a run" : "draft";
  $("pace").textContent = `${Math.round(answer.total)} ms, of which painting ${Math.round(answer.painting)} · ${exact}`;
  $("pace").dataset.exact = answer.exact ? "1" : "0";
  $("pace").dataset.total = answer.total.toFixed(1);
}

// Painting: one request at a time, always of the newest mask; an answer that is not of the newest is not shown.

function changed() {
  version += 1;
  document.body.dataset.version = version;
  dirty = true;
  foundCells = null;
  remember();
  redraw();
  pump();
}

function slow() { return (usual.get(generator) ?? 0) >= STROKE_MILLISECONDS; }

async function pump() {
  if (running || !dirty || ((pointerDown || penDown) && slow())) return;
  dirty = false;
  clearTimeout(restTimer);
  const [ofVersion, ofGenerator, stop] = [version, generator, new AbortController()];
  running = stop;
  try {
    const answer = await server.paint(generator, [number], drawing.cells, true, stop.signal);
    if (running === stop && ofGenerator === generator) {
      usual.set(generator, answer.total);
      shown = answer;
      showPace(answer);
      document.body.dataset.painted = ofVersion;
      redraw();
    }
  } catch (error) {
    if (!(error instanceof server.Superseded)) say(error.message, 12);
  }
  if (running === stop) running = null;
  if (dirty) pump();
  else restTimer = setTimeout(guarded(rest), REST_MILLISECONDS);
}

function start() { // over, with another generator or key: what is under way is of no use
  running?.abort();
  running = null;
  changed();
}

async function exactImage() {
  if (shown?.exact && document.body.dataset.painted === String(version)) return shown;
  const [ofVersion, ofGenerator] = [version, generator];
  const answer = await server.paint(generator, [number], drawing.cells, false);
  if (ofVersion === version && ofGenerator === generator) {
    shown = answer;
    showPace(answer);
    document.body.dataset.painted = version;
    redraw();
  }
  return answer;
}

async function rest() {
  if (dirty || running || pointerDown || !shown) return;
  const ofVersion = version;
  if (!shown.exact && shown.exactMilliseconds < EXACT_MILLISECONDS) await exactImage();
  if (ofVersion === version) await showJudgement(ofVersion);
  if (ofVersion === version) await fillStrip(ofVersion);
  document.body.dataset.rested = ofVersion;
}

async function showJudgement(ofVersion) {
  const found = await server.judge(generator, number, drawing.cells, !shown.exact);
  if (ofVersion !== version) return;
  if (facts.segmenter) {
    const who = facts.segmenter.real_only ? "A segmenter trained on real images alone" : "The recipe's segmenter";
    $("adherence").textContent = found.empty
      ? "No mask, so there is nothing to find."
      : `${who} finds the mask in the image to ${found.adherence.toFixed(2)} (Dice; 1 is all of it and nothing else).`;
    $("found-line").hidden = false;
    foundCells = server.cellsOf(found.found);
  } else {
    $("adherence").textContent = "No trained segmenter is at hand that could say whether the image follows the mask.";
  }
  const alike = found.alike;
  $("alike").className = alike?.unlike ? "warn" : "";
  $("alike").textContent = !alike ? "The training masks are not at hand to compare with."
    : alike.unlike
      ? `Unlike any training mask: it overlaps the most similar one to ${alike.overlap.toFixed(2)} (Dice), where 99 % of them have another one at ${alike.usual.toFixed(2)} or more. The generator is guessing.`
      : `Like training masks: it overlaps the most similar one to ${alike.overlap.toFixed(2)} (Dice).`;
  $("nearest").hidden = !found.nearest;
  if (found.nearest) {
    $("nearest-said").textContent = `Nearest training image: ${found.nearest.id}, ${found.nearest.distance.toFixed(0)} grey levels away.`;
    const bitmap = await server.training(found.nearest.place);
    [$("nearest").width, $("nearest").height] = [bitmap.width, bitmap.height];
    $("nearest").getContext("2d").drawImage(bitmap, 0, 0);
  }
  redraw();
}

// Keys: the same mask again

async function fillStrip(ofVersion) {
  const numbers = [0, 1, 2, 3].map((i) => stripBase + i);
  const answer = await server.paint(generator, numbers, drawing.cells, true);
  if (ofVersion !== version) return;
  const height = answer.bitmap.height / numbers.length;
  $("strip").replaceChildren(...numbers.map((n, i) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [answer.bitmap.width, height];
    canvas.getContext("2d").drawImage(answer.bitmap, 0, -i * height);
    button.append(canvas);
    button.title = `image ${n}`;
    button.setAttribute("aria-label", `Take image ${n}`);
    button.setAttribute("aria-pressed", String(n === number));
    button.addEventListener("click", () => setNumber(n));
    return button;
  }));
}

function setNumber(n) {
  if (!Number.isSafeInteger(n) || n < 0) { $("number").value = number; return; }
  number = n;
  $("number").value = n;
  if (n < stripBase || n >= stripBase + 4) stripBase = n;
  for (const [i, button] of [...$("strip").children].entries()) button.setAttribute("aria-pressed", String(stripBase + i === n));
  start();
}

// Drawing

const brushSize = () => Number($("brush").value);
const activeLabel = () => (picked("tool") === "eraser" ? 0 : label);

function setBrush(size) {
  $("brush").value = Math.min(Number($("brush").max), Math.max(1, size));
  $("brush-size").textContent = $("brush").value;
  redraw();
}

function listen(board) {
  const { canvas } = board;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || (pointerDown && !event.isPrimary)) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true, focusVisible: false });
    try { canvas.setPointerCapture(event.pointerId); } catch { /* the pointer is gone already */ }
    board.cursor = null;
    drawing.begin();
    lastPlace = board.place(event);
    if (picked("tool") === "fill") { drawing.fill(lastPlace, label); drawing.cancelIfSame(); changed(); return; }
    pointerDown = true;
    drawing.stroke(lastPlace, lastPlace, brushSize(), activeLabel());
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    board.ring = event.pointerType === "touch" ? null : board.place(event);
    if (!pointerDown) { redraw(); return; }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const place = board.place(one);
      drawing.stroke(lastPlace, place, brushSize(), activeLabel());
      lastPlace = place;
    }
    changed();
  });
  const lift = () => {
    if (!pointerDown) return;
    pointerDown = false;
    drawing.cancelIfSame();
    changed();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("lostpointercapture", lift);
  canvas.addEventListener("pointerleave", () => { board.ring = null; redraw(); });
  canvas.addEventListener("blur", () => { liftPen(); redraw(); });
  canvas.addEventListener("focus", redraw);
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (steps) {
      const from = board.cursor ?? { x: board.width / 2, y: board.height / 2 };
      const by = event.shiftKey ? 8 : 1;
      board.cursor = {
        x: Math.min(board.width - 0.5, Math.max(0.5, from.x + steps[0] * by)),
        y: Math.min(board.height - 0.5, Math.max(0.5, from.y + steps[1] * by)),
      };
      if (penDown) { drawing.stroke(from, board.cursor, brushSize(), activeLabel()); changed(); } else redraw();
    } else if (event.key === " ") {
      board.cursor ??= { x: board.width / 2, y: board.height / 2 };
      if (penDown) { liftPen(); } else {
        penDown = true;
        drawing.begin();
        drawing.stroke(board.cursor, board.cursor, brushSize(), activeLabel());
        say("Brush down: arrow keys draw, Space lifts it.", 3);
        changed();
      }
    } else if (event.key === "Enter") {
      board.cursor ??= { x: board.width / 2, y: board.height / 2 };
      drawing.begin();
      drawing.fill(board.cursor, activeLabel());
      drawing.cancelIfSame();
      changed();
    } else return;
    event.preventDefault();
  });
}

function liftPen() {
  if (!penDown) return;
  penDown = false;
  drawing.cancelIfSame();
  changed();
}

function back() { if (drawing.undo()) changed(); }
function forth() { if (drawing.redo()) changed(); }

function choose(name, value) {
  const input = document.querySelector(`input[name="${name}"][value="${value}"]`);
  if (input && !input.disabled) { input.checked = true; input.dispatchEvent(new Event("change", { bubbles: true })); }
}

function compare(on) { comparing = on; redraw(); }

const KEYS = {
  b: () => choose("tool", "brush"), e: () => choose("tool", "eraser"), f: () => choose("tool", "fill"),
  "[": () => setBrush(brushSize() - 1), "]": () => setBrush(brushSize() + 1),
  z: back, y: forth, a: () => setNumber(number + 1), g: nextGenerator,
  v: () => choose("view", { outline: "image", image: "mask", mask: "outline" }[picked("view")]),
  c: () => compare(true),
};

function nextGenerator() {
  const trained = facts.generators.flatMap((one, i) => (one.trained ? [i] : []));
  choose("generator", trained[(trained.indexOf(generator) + 1) % trained.length]);
}

document.addEventListener("keydown", (event) => {
  if (!facts || /^(text|number|file)$/.test(event.target.type ?? "") || event.altKey) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") { event.shiftKey ? forth() : back(); event.preventDefault(); }
    if (key === "y") { forth(); event.preventDefault(); }
    return;
  }
  if (KEYS[key] && !(key === "c" && event.repeat)) { KEYS[key](); event.preventDefault(); }
  else if (/^[1-9]$/.test(key) && facts.labels[Number(key)]) choose("label", facts.labels[Number(key)].label);
});
document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "c" && comparing) compare(false); });

// Choices beside the canvases

function radio(name, value, text, checked, disabled = false) {
  const line = document.createElement("label");
  const input = document.createElement("input");
  const span = document.createElement("span");
  line.className = "choice";
  Object.assign(input, { type: "radio", name, value, checked, disabled });
  span.textContent = text;
  line.append(input, span);
  return line;
}

function setUpClasses() {
  const drawn = facts.labels.filter((one) => one.label);
  label = drawn[0].label;
  if (drawn.length < 2) return;
  $("classes").hidden = false;
  $("classes").append(...drawn.map((one) => {
    const line = radio("label", one.label, one.name, one.label === label);
    const swatch = document.createElement("i");
    swatch.className = "swatch";
    swatch.style.background = one.colour;
    line.querySelector("span").prepend(swatch);
    return line;
  }));
  $("classes").addEventListener("change", () => { label = Number(picked("label")); });
}

function setUpGenerators() {
  $("generators").append(...facts.generators.map((one, i) => radio("generator", i, one.title, i === generator, !one.trained)));
  $("generators").addEventListener("change", () => {
    generator = Number(picked("generator"));
    nameGenerator();
    start();
  });
  const untrained = facts.generators.filter((one) => !one.trained);
  for (const command of new Set(untrained.map((one) => one.command))) {
    const line = document.createElement("p");
    const code = document.createElement("code");
    const names = untrained.filter((one) => one.command === command).map((one) => one.title).join("; ");
    line.textContent = `Not trained yet: ${names}. Train with`;
    code.textContent = command;
    $("untrained").append(line, code);
  }
  nameGenerator();
}

function nameGenerator() { $("painted-by").textContent = `Image, by ${facts.generators[generator].name}`; }

function setUpSources() {
  $("sources").closest("section").hidden = !facts.sources.length;
  $("sources").append(...facts.sources.map((one, i) => {
    const button = document.createElement("button");
    button.textContent = one.title;
    button.dataset.source = one.name;
    let next = i === 0 ? 1 : 0;
    button.addEventListener("click", guarded(async () => {
      button.disabled = true;
      try {
        const cells = await server.drawn(i, next);
        next += 1;
        drawing.replace(cells);
        changed();
        if (one.weights) await showWeights(i); else $("weights").hidden = true;
      } finally { button.disabled = false; }
    }));
    return button;
  }));
}

async function showWeights(source) {
  if ($("weights").dataset.source !== String(source)) {
    const names = await server.weights(source);
    $("weights").dataset.source = source;
    $("weights").replaceChildren(...names.map((name) => {
      const line = document.createElement("label");
      const [span, input, output] = ["span", "input", "output"].map((kind) => document.createElement(kind));
      line.className = "slider";
      span.textContent = name;
      Object.assign(input, { type: "range", min: -3, max: 3, step: 0.1, value: 0 });
      output.textContent = "0.0";
      input.addEventListener("input", guarded(async () => {
        output.textContent = Number(input.value).toFixed(1);
        const values = [...$("weights").querySelectorAll("input")].map((one) => Number(one.value));
        const first = !input.dataset.moving;
        input.dataset.moving = "1";
        if (first) drawing.begin();
        drawing.cells = await server.shaped(source, values);
        changed();
      }));
      input.addEventListener("change", () => { delete input.dataset.moving; });
      line.append(span, input, output);
      return line;
    }));
  } else for (const input of $("weights").querySelectorAll("input")) { input.value = 0; input.nextSibling.textContent = "0.0"; }
  $("weights").hidden = false;
}

// Files

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function save() {
  const [image, mask] = [await exactImage(), await server.maskFile(drawing.cells)];
  const stem = `${facts.generators[generator].name}-${number}`;
  download(image.blob, `${stem}-image.png`);
  download(mask, `${stem}-mask.png`);
  say(`Saved ${stem}-image.png and ${stem}-mask.png.`);
}

async function append() {
  const done = await server.append(generator, number, drawing.cells);
  showLines(done.recipe);
  say(`Appended as ${done.file}.`);
}

function showLines(text) { $("lines").textContent = text; $("lines").hidden = false; }

async function copy() {
  const text = await server.recipe(generator, number);
  showLines(text);
  try {
    await navigator.clipboard.writeText(text);
    say("Recipe lines copied. Append the drawing to the folder that they read.");
  } catch {
    const range = document.createRange();
    range.selectNodeContents($("lines"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    say("The browser does not let the page copy; the lines are selected, so copy them with Ctrl+C.");
  }
}

function onFile(id, work) {
  $(id).addEventListener("change", guarded(async () => {
    const file = $(id).files[0];
    $(id).value = "";
    if (!file) return;
    if (file.size > 8 * 1024 * 1024) throw new Error(`${file.name} has ${(file.size / 1048576).toFixed(1)} MB; allowed: 8 MB.`);
    await work(file);
  }));
}

// What a reload finds again

const memory = () => `augkit paint ${facts.width} x ${facts.height} ${facts.labels.length}`;

function remember() {
  sessionStorage.setItem(memory(), JSON.stringify({ cells: server.textOf(drawing.cells), number, generator }));
}

function recall() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(memory()));
    const cells = server.cellsOf(kept.cells);
    if (cells.length !== drawing.cells.length) return false;
    drawing.cells = cells;
    number = stripBase = kept.number;
    if (facts.generators[kept.generator]?.trained) generator = kept.generator;
    return true;
  } catch { return false; }
}

async function begin() {
  $("pace").textContent = "one moment …";
  facts = await server.state();
  drawing = new Drawing(facts.width, facts.height);
  generator = facts.generators.findIndex((one) => one.trained);
  if (!recall()) drawing.cells = server.cellsOf(facts.start);
  const colours = new Map(facts.labels.filter((one) => one.label).map((one) => [one.label, one.colour]));
  maskBoard = new Board($("mask"), facts.width, facts.height, colours);
  imageBoard = new Board($("image"), facts.width, facts.height, colours);
  maskBoard.redraw = imageBoard.redraw = redraw;
  $("what").textContent = `${facts.width} × ${facts.height}, ${facts.format}`;
  $("seed").textContent = facts.seed;
  $("number").value = number;
  const widest = Math.max(4, Math.round(facts.width / 3));
  $("brush").max = widest;
  $("append").title = `Adds the mask to ${facts.drawings}, which the mask source folder reads`;
  if (!facts.appends) {
    $("append").disabled = $("copy").disabled = true;
    $("append").title = $("copy").title = "The mask source folder takes one class";
  }
  setUpClasses();
  setUpGenerators();
  setUpSources();
  listen(maskBoard);
  listen(imageBoard);
  setBrush(Math.max(2, Math.round(facts.width / 10)));
  $("brush").addEventListener("input", () => setBrush(brushSize()));
  $("undo").addEventListener("click", back);
  $("redo").addEventListener("click", forth);
  $("clear").addEventListener("click", () => { drawing.replace(new Uint8Array(drawing.cells.length)); changed(); });
  $("again").addEventListener("click", () => setNumber(number + 1));
  $("number").addEventListener("change", () => setNumber(Number($("number").value)));
  for (const input of document.querySelectorAll('input[name="view"], #show-found')) input.addEventListener("change", redraw);
  for (const [down, up] of [["pointerdown", "pointerup"], ["keydown", "keyup"]]) {
    $("compare").addEventListener(down, (event) => { if (!event.key || event.key === " " || event.key === "Enter") compare(true); });
    $("compare").addEventListener(up, () => compare(false));
  }
  for (const left of ["pointerleave", "pointercancel", "blur"]) $("compare").addEventListener(left, () => { if (comparing) compare(false); });
  $("save").addEventListener("click", guarded(save));
  $("append").addEventListener("click", guarded(append));
  $("copy").addEventListener("click", guarded(copy));
  $("pace").addEventListener("click", guarded(exactImage));
  $("drop-picture").addEventListener("click", () => { underlay = null; $("drop-picture").hidden = true; redraw(); });
  onFile("load-mask", async (file) => {
    const found = await server.loadMask(file);
    drawing.replace(server.cellsOf(found.mask));
    changed();
    say(found.remark);
  });
  onFile("load-picture", async (file) => {
    underlay = await server.loadPicture(file);
    $("drop-picture").hidden = false;
    redraw();
  });
  changed();
}

guarded(begin)();
