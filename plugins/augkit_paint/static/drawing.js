// A label map that is drawn on, with undo. Knows no canvas.

const MOST_STEPS = 200;

export class Drawing {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.cells = new Uint8Array(width * height);
    this.past = [];
    this.future = [];
  }

  /** Remember the cells as they are, so that what follows can be undone in one step. */
  begin() {
    this.past.push(this.cells.slice());
    if (this.past.length > MOST_STEPS) this.past.shift();
    this.future = [];
  }

  /** Forget what `begin` remembered, where nothing came of it. */
  cancelIfSame() {
    const last = this.past.at(-1);
    if (last && last.every((label, i) => label === this.cells[i])) this.past.pop();
  }

  replace(cells) {
    this.begin();
    this.cells = Uint8Array.from(cells);
    this.cancelIfSame();
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.cells);
    this.cells = this.past.pop();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.cells);
    this.cells = this.future.pop();
    return true;
  }

  /** Put a label wherever a pixel's centre is within half of `size` of the line between two places. */
  stroke(from, to, size, label) {
    const reach = Math.max(size / 2, 0.71);
    const [left, right] = [Math.min(from.x, to.x) - reach, Math.max(from.x, to.x) + reach];
    const [top, bottom] = [Math.min(from.y, to.y) - reach, Math.max(from.y, to.y) + reach];
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy;
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(this.height, Math.ceil(bottom)); y++) {
      for (let x = Math.max(0, Math.floor(left)); x < Math.min(this.width, Math.ceil(right)); x++) {
        const [cx, cy] = [x + 0.5 - from.x, y + 0.5 - from.y];
        const along = length ? Math.min(1, Math.max(0, (cx * dx + cy * dy) / length)) : 0;
        const [ex, ey] = [cx - along * dx, cy - along * dy];
        if (ex * ex + ey * ey <= reach * reach) this.cells[y * this.width + x] = label;
      }
    }
  }

  /** Give all pixels of one label that hang together at a place another label. */
  fill(place, label) {
    const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    const old = this.cells[y * this.width + x];
    if (old === label) return;
    const waiting = [[x, y]];
    while (waiting.length) {
      const [i, j] = waiting.pop();
      if (i < 0 || j < 0 || i >= this.width || j >= this.height || this.cells[j * this.width + i] !== old) continue;
      this.cells[j * this.width + i] = label;
      waiting.push([i + 1, j], [i - 1, j], [i, j + 1], [i, j - 1]);
    }
  }
}
