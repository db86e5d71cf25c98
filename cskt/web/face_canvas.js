// A picture on a canvas: a face box to draw, move and resize, landmarks and a heatmap over it.
// Places are image pixels with centers at the integers; a canvas begins at the edge of its first pixel: hence the 0.5.
const GRIP = 9; // pixels of the screen around a corner
const LEAST = 5; // a smaller drag is a click
const MOST = 0.6; // of the shown part: a larger box is not moved but drawn anew; in the close view a square one fills 0.44
const BOX = "#ffffff";

async function decoded(bytes, type) {
  return bytes && bytes.byteLength ? createImageBitmap(new Blob([bytes], { type })) : null;
}

function shape(context, marker, x, y, r) {
  context.beginPath();
  if (marker === "s") context.rect(x - r, y - r, 2 * r, 2 * r);
  else if (marker === "^") {
    context.moveTo(x, y - 1.2 * r);
    context.lineTo(x + 1.1 * r, y + 0.9 * r);
    context.lineTo(x - 1.1 * r, y + 0.9 * r);
    context.closePath();
  } else if (marker === "X") {
    const a = 0.4 * r;
    const b = 1.2 * r;
    const around = [[0, -a], [b - a, -b], [b, a - b], [a, 0], [b, b - a], [b - a, b], [0, a], [a - b, b], [-b, b - a], [-a, 0], [-b, a - b], [a - b, -b]];
    around.forEach(([dx, dy], k) => (k ? context.lineTo(x + dx, y + dy) : context.moveTo(x + dx, y + dy)));
    context.closePath();
  } else context.arc(x, y, r, 0, 2 * Math.PI);
}

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "cskt-canvas";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Picture: drag to draw the face box; arrow keys move it, with Shift they resize it, Escape clears it");
  el.appendChild(canvas);
  const context = canvas.getContext("2d");
  let picture = null;
  let heat = null;
  let scale = 1;
  let drag = null; // {mode, start, from, box}
  let draws = 0;

  const toScreen = (x, y) => {
    const [left, top] = model.get("region");
    return [(x + 0.5 - left) * scale, (y + 0.5 - top) * scale];
  };
  const toImage = (event) => {
    const area = canvas.getBoundingClientRect();
    const [left, top] = model.get("region");
    return [(event.clientX - area.left) / scale + left - 0.5, (event.clientY - area.top) / scale + top - 0.5];
  };

  function fit() {
    const [, , width, height] = model.get("region");
    const room = Math.max(el.clientWidth, 120);
    scale = Math.min(room / width, model.get("height") / height);
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    canvas.style.width = `${w}px`;
    canvas.style.height = `${h}px`;
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  function drawBox(box) {
    const [x, y] = toScreen(box[0], box[1]);
    const [w, h] = [box[2] * scale, box[3] * scale];
    context.lineWidth = 4;
    context.strokeStyle = "rgba(0,0,0,0.55)";
    context.strokeRect(x, y, w, h);
    context.lineWidth = 2;
    context.strokeStyle = BOX;
    context.strokeRect(x, y, w, h);
    for (const [cx, cy] of [[x, y], [x + w, y], [x, y + h], [x + w, y + h]]) {
      context.fillStyle = BOX;
      context.fillRect(cx - 4, cy - 4, 8, 8);
      context.lineWidth = 1;
      context.strokeStyle = "rgba(0,0,0,0.7)";
      context.strokeRect(cx - 4, cy - 4, 8, 8);
    }
  }

  function drawLabels(layer, middle) {
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.lineWidth = 3;
    context.lineJoin = "round";
    const placed = layer.points.map(([px, py], k) => {
      const [x, y] = toScreen(px, py);
      return { x, y, text: layer.labels[k], outward: x < middle };
    });
    for (const outward of [true, false]) {
      let free = 0; // labels of one side stand below each other
      for (const label of placed.filter((one) => one.text && one.outward === outward).sort((a, b) => a.y - b.y)) {
        // away from the middle of the face, but inside the canvas
        const width = context.measureText(label.text).width;
        const aside = outward ? label.x - 9 - width : label.x + 9;
        const left = Math.min(Math.max(aside, 2), canvas.clientWidth - width - 2);
        const y = Math.max(label.y, free);
        free = y + 14;
        context.strokeStyle = "rgba(0,0,0,0.75)";
        context.strokeText(label.text, left, y);
        context.fillStyle = "#ffffff";
        context.fillText(label.text, left, y);
      }
    }
  }

  function draw() {
    fit();
    context.clearRect(0, 0, canvas.width, canvas.height);
    const [left, top, width, height] = model.get("region");
    if (picture) context.drawImage(picture, 0, 0, width * scale, height * scale);
    const [hx, hy, hw, hh] = model.get("heat_region");
    if (heat && !drag) context.drawImage(heat, ...toScreen(hx, hy), hw * scale, hh * scale);
    const box = drag ? drag.box : model.get("box");
    if (picture && box.length === 4) drawBox(box);
    const layers = drag ? [] : model.get("layers");
    if (!drag)
      for (const [x1, y1, x2, y2] of model.get("links"))
        for (const [thick, color] of [[3, "rgba(0,0,0,0.6)"], [1.4, "#ffffff"]]) {
          context.beginPath();
          context.moveTo(...toScreen(x1, y1));
          context.lineTo(...toScreen(x2, y2));
          context.lineWidth = thick;
          context.strokeStyle = color;
          context.stroke();
        }
    for (const layer of layers)
      for (const [px, py] of layer.points) {
        const [x, y] = toScreen(px, py);
        shape(context, layer.marker, x, y, 5);
        if (layer.color === "none") {
          context.lineWidth = 4;
          context.strokeStyle = "#000000";
          context.stroke();
        } else {
          context.fillStyle = layer.color;
          context.fill();
        }
        context.lineWidth = layer.color === "none" ? 1.8 : 1;
        context.strokeStyle = layer.edge;
        context.stroke();
      }
    const middle = box.length === 4 ? toScreen(box[0] + box[2] / 2, 0)[0] : canvas.clientWidth / 2;
    for (const layer of layers) if (layer.labels.length) drawLabels(layer, middle);
    // for tests, and for whoever wants to know what is on the screen
    draws += 1;
    Object.assign(canvas.dataset, {
      draws,
      picture: picture ? `${picture.width}x${picture.height}` : "",
      points: layers.map((layer) => layer.points.length).join(","),
      heat: heat ? "shown" : "",
      box: JSON.stringify(box),
      view: JSON.stringify([left, top, scale]),
    });
  }

  const corners = ([x, y, w, h]) => [[x, y], [x + w, y], [x, y + h], [x + w, y + h]];

  function grabbed(event, box) {
    const area = canvas.getBoundingClientRect();
    return corners(box).findIndex(([x, y]) => {
      const [sx, sy] = toScreen(x, y);
      return Math.hypot(event.clientX - area.left - sx, event.clientY - area.top - sy) <= GRIP;
    });
  }

  function inside([x, y], box) {
    return x >= box[0] && x <= box[0] + box[2] && y >= box[1] && y <= box[1] + box[3];
  }

  // whether a box can be moved by its inside: one that fills nearly all leaves no room for drawing another
  function movable(at, box) {
    const [left, top, width, height] = model.get("region");
    const across = Math.min(box[0] + box[2], left + width) - Math.max(box[0], left);
    const down = Math.min(box[1] + box[3], top + height) - Math.max(box[1], top);
    return inside(at, box) && across * down < MOST * width * height;
  }

  function between([x1, y1], [x2, y2]) {
    const [width, height] = model.get("size");
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    const [ax, bx] = [clamp(Math.min(x1, x2), width), clamp(Math.max(x1, x2), width)];
    const [ay, by] = [clamp(Math.min(y1, y2), height), clamp(Math.max(y1, y2), height)];
    return [ax, ay, bx - ax, by - ay];
  }

  function moved([x, y, w, h], dx, dy) {
    const [width, height] = model.get("size");
    // a box may stick out where it did before
    const clamp = (value, was, length, most) => Math.min(Math.max(value, Math.min(0, was)), Math.max(most - length, was));
    return [clamp(x + dx, x, w, width), clamp(y + dy, y, h, height), w, h];
  }

  function commit(box) {
    const tenth = box.map((value) => Math.round(value * 10) / 10);
    model.set("box", tenth);
    model.save_changes();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!picture || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    const start = toImage(event);
    const box = model.get("box");
    const corner = box.length === 4 ? grabbed(event, box) : -1;
    if (corner >= 0) drag = { mode: "draw", start: corners(box)[3 - corner], from: event, box };
    else if (box.length === 4 && movable(start, box)) drag = { mode: "move", start, from: event, box, was: box };
    else drag = { mode: "draw", start, from: event, box: [...start, 0, 0] };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) {
      const box = model.get("box");
      const at = box.length === 4 ? grabbed(event, box) : -1;
      const over = box.length === 4 && movable(toImage(event), box);
      canvas.style.cursor = at >= 0 ? (at % 3 ? "nesw-resize" : "nwse-resize") : over ? "move" : "crosshair";
      return;
    }
    const now = toImage(event);
    if (drag.mode === "move") drag.box = moved(drag.was, now[0] - drag.start[0], now[1] - drag.start[1]);
    else drag.box = between(drag.start, now);
    draw();
  });
  const end = (event) => {
    if (!drag) return;
    const done = drag;
    drag = null;
    const far = Math.hypot(event.clientX - done.from.clientX, event.clientY - done.from.clientY) >= LEAST;
    if (far && event.type === "pointerup" && done.box[2] > 0 && done.box[3] > 0) commit(done.box);
    draw();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && (drag || model.get("box").length)) {
      event.preventDefault();
      event.stopPropagation();
      if (drag) drag = null;
      else {
        model.set("box", []);
        model.save_changes();
      }
      draw();
      return;
    }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const box = model.get("box");
    if (!way || box.length !== 4) return;
    event.preventDefault();
    event.stopPropagation();
    const [dx, dy] = way.map((one) => one * Math.max(1, Math.round(0.02 * Math.max(box[2], box[3]))));
    commit(event.shiftKey ? between([box[0], box[1]], [box[0] + box[2] + dx, box[1] + box[3] + dy]) : moved(box, dx, dy));
  });

  const loadPicture = async () => {
    picture = await decoded(model.get("picture"), "image/jpeg");
    draw();
  };
  const loadHeat = async () => {
    heat = await decoded(model.get("heat"), "image/png");
    draw();
  };
  const drawn = "change:box change:layers change:links change:region change:height change:heat_region";
  model.on("change:picture", loadPicture);
  model.on("change:heat", loadHeat);
  model.on(drawn, draw);
  const watch = new ResizeObserver(() => draw());
  watch.observe(el);
  loadPicture();
  loadHeat();
  return () => {
    watch.disconnect();
    model.off("change:picture", loadPicture);
    model.off("change:heat", loadHeat);
    model.off(drawn, draw);
  };
}

export default { render };
