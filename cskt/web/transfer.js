// A drop zone and file chooser that sends a file in pieces, and files that the kernel hands to the browser.
const PIECE = 1 << 19; // well below the largest message that a server takes

async function sendFile(model, file, say) {
  const most = model.get("most_bytes");
  if (file.size > most) {
    say(`${file.name} has ${Math.ceil(file.size / 2 ** 20)} MB: save it smaller, ${Math.floor(most / 2 ** 20)} MB at most`);
    return;
  }
  if (file.size === 0) {
    say(`${file.name} is empty`);
    return;
  }
  say(`reading ${file.name} ...`);
  model.send({ kind: "begin", name: file.name, size: file.size });
  for (let first = 0; first < file.size; first += PIECE) {
    const piece = await file.slice(first, first + PIECE).arrayBuffer();
    model.send({ kind: "part" }, undefined, [piece]);
  }
  say("");
}

function save(message, buffers) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.type }));
  link.download = message.name;
  document.body.appendChild(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function render({ model, el }) {
  const zone = document.createElement("label");
  zone.className = "cskt-drop";
  const text = document.createElement("span");
  const note = document.createElement("small");
  const input = document.createElement("input");
  input.type = "file";
  input.setAttribute("aria-label", "Picture file");
  zone.append(text, input, note);
  el.appendChild(zone);

  const show = () => {
    text.textContent = model.get("label");
    input.accept = model.get("accept");
  };
  const say = (words) => {
    note.textContent = words;
  };
  const take = (files) => {
    if (files.length) sendFile(model, files[0], say);
  };
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // the same file again is a change too
  });
  for (const kind of ["dragenter", "dragover"])
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  const message = (content, buffers) => {
    if (content.kind === "save") save(content, buffers);
  };
  model.on("change:label change:accept", show);
  model.on("msg:custom", message);
  show();
  return () => {
    model.off("change:label change:accept", show);
    model.off("msg:custom", message);
  };
}

export default { render };
