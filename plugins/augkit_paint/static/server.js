// What the page asks of the server. Addresses are relative, so every one begins with the page's secret.

const page = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");

export class Superseded extends Error {}

async function ask(path, query = {}, options = {}) {
  const words = new URLSearchParams({ ...query, page });
  let answer;
  try {
    answer = await fetch(`${path}?${words}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw new Superseded();
    throw new Error("augkit paint has ended. Start it again and open the address that it prints.");
  }
  if (answer.status === 409) throw new Superseded();
  if (!answer.ok) {
    let said = `The server answered ${answer.status}.`;
    try { said = (await answer.json()).error; } catch { /* it was no JSON */ }
    throw new Error(said);
  }
  return answer;
}

const send = (path, query, body, signal) => ask(path, query, { method: "POST", body, signal });

export function cellsOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function textOf(cells) {
  let text = "";
  for (let i = 0; i < cells.length; i += 8192) text += String.fromCharCode(...cells.subarray(i, i + 8192));
  return btoa(text);
}

export const state = async () => (await ask("state")).json();

export async function paint(generator, numbers, cells, draft, signal) {
  const began = performance.now();
  const answer = await send("paint", { generator, numbers: numbers.join(","), draft: draft ? 1 : 0 }, cells, signal);
  const blob = await answer.blob();
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  return {
    blob, bitmap,
    exact: answer.headers.get("x-exact") === "1",
    painting: Number(answer.headers.get("x-milliseconds")),
    exactMilliseconds: Number(answer.headers.get("x-exact-milliseconds")),
    total: performance.now() - began,
  };
}

export const judge = async (generator, number, cells, draft) =>
  (await send("judge", { generator, numbers: number, draft: draft ? 1 : 0 }, cells)).json();

export const drawn = async (source, number) => new Uint8Array(await (await ask("mask", { source, number })).arrayBuffer());

export const shaped = async (source, weights) =>
  new Uint8Array(await (await ask("mask", { source, weights: weights.join(",") })).arrayBuffer());

export const weights = async (source) => (await ask("weights", { source })).json();

export const training = async (place) => createImageBitmap(await (await ask("training", { place })).blob());

export const recipe = async (generator, number) => (await ask("recipe", { generator, number })).text();

export const append = async (generator, number, cells) => (await send("append", { generator, number }, cells)).json();

export const maskFile = async (cells) => (await send("file", {}, cells)).blob();

export const loadMask = async (file) => (await send("load", { as: "mask" }, file)).json();

export const loadPicture = async (file) => createImageBitmap(await (await send("load", { as: "picture" }, file)).blob());
