// A canvas that shows a label map, a painted image, or both, and tells where on it somebody points.

const FOUND = "#2fc4ff";

export class Board {
  constructor(canvas, width, height, colours) {
    this.canvas = canvas;
    this.width = width;
    this.height = height;
    this.colours = colours; // label -> "#rrggbb"
    this.small = new OffscreenCanvas(width, height);
    this.context = canvas.getContext("2d");
    canvas.style.aspectRatio = `${width} / ${height}`;
    this.cursor = null; // where the keys stand, in pixels of the mask
    this.ring = null; // where the pointer is
    new ResizeObserver(() => { this.fit(); this.redraw?.(); }).observe(canvas);
    this.fit();
  }

  fit() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
  }

  get scale() { return this.canvas.width / this.width; }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.width,
      y: ((event.clientY - box.top) / box.height) * this.height,
    };
  }

  picture(source, smooth, box) {
    this.context.imageSmoothingEnabled = smooth;
    this.context.imageSmoothingQuality = "high";
    const [x, y, w, h] = box ?? [0, 0, source.width, source.height];
    this.context.drawImage(source, x, y, w, h, 0, 0, this.canvas.width, this.canvas.height);
  }

  mask(cells, alpha = 1) {
    const context = this.small.getContext("2d");
    const pixels = context.createImageData(this.width, this.height);
    for (let i = 0; i < cells.length; i++) {
      const colour = this.colours.get(cells[i]);
      const value = colour ? parseInt(colour.slice(1), 16) : 0x2d2d2d;
      pixels.data.set([value >> 16, (value >> 8) & 255, value & 255, colour ? 255 : alpha < 1 ? 0 : 255], i * 4);
    }
    context.putImageData(pixels, 0, 0);
    this.context.globalAlpha = alpha;
    this.picture(this.small, false);
    this.context.globalAlpha = 1;
  }

  outline(cells, single) {
    const { context, width, height, scale } = this;
    const paths = new Map();
    const edge = (label, x0, y0, x1, y1) => {
      if (!label) return;
      if (!paths.has(label)) paths.set(label, new Path2D());
      const path = paths.get(label);
      path.moveTo(x0 * scale, y0 * scale);
      path.lineTo(x1 * scale, y1 * scale);
    };
    const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : cells[y * width + x]);
    for (let y = 0; y <= height; y++) {
      for (let x = 0; x <= width; x++) {
        const here = at(x, y);
        const [left, above] = [at(x - 1, y), at(x, y - 1)];
        if (here !== left) { edge(here, x, y, x, y + 1); edge(left, x, y, x, y + 1); }
        if (here !== above) { edge(here, x, y, x + 1, y); edge(above, x, y, x + 1, y); }
      }
    }
    const thick = Math.max(1.5, this.canvas.width / 300);
    context.lineCap = "round";
    for (const [label, path] of paths) {
      context.lineWidth = thick * 2;
      context.strokeStyle = "#0009";
      context.stroke(path);
      context.lineWidth = thick;
      context.strokeStyle = single ?? this.colours.get(label) ?? "#fff";
      context.stroke(path);
    }
  }

  found(cells) { this.outline(cells, FOUND); }

  marks(size) {
    const { context, scale } = this;
    const circle = (place, colour) => {
      context.beginPath();
      context.arc(place.x * scale, place.y * scale, Math.max(size / 2, 0.71) * scale, 0, 7);
      context.lineWidth = 3; context.strokeStyle = "#0008"; context.stroke();
      context.lineWidth = 1.5; context.strokeStyle = colour; context.stroke();
    };
    if (this.ring) circle(this.ring, "#fff");
    if (this.cursor && document.activeElement === this.canvas) circle(this.cursor, "#ffd23f");
  }
}
