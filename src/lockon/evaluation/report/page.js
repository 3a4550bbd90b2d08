"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const body = document.querySelector("#sequences tbody");
const rows = [...body.rows];
const colour = (place) => `var(--c${place % 6})`;
const dash = (place) => ["", "7 3", "2 2"][Math.floor(place / 6) % 3];

// Sorting: a click on a head sorts by its column, another one turns it round. Numbers begin with the lowest.
for (const button of document.querySelectorAll("#sequences thead button")) {
  const head = button.parentElement;
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => {
      const text = row.cells[head.cellIndex].dataset.value ?? row.cells[head.cellIndex].textContent.trim();
      return text === "" || isNaN(text) ? text : Number(text);
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
    closeDetail();
    rows.sort((a, b) => (up ? 1 : -1) * compare(key(a), key(b)));
    body.append(...rows);
  });
}

// Filtering by name or attribute.
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  closeDetail();
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    row.hidden = !words.every((word) => row.dataset.words.includes(word));
    shown += !row.hidden;
  }
  document.getElementById("shown").textContent = shown === rows.length ? "" : `${shown} of ${rows.length}`;
});

// Another measure in the cells.
const choose = document.getElementById("measure");
choose.addEventListener("change", () => {
  const { values: columns, ends: [worst, top], decimals } = data.measures[choose.value];
  for (const row of rows) {
    const values = columns.map((column) => column[row.dataset.index]);
    const known = values.filter((value) => value !== null);
    const texts = values.map((value) => (value === null ? "-" : value.toFixed(decimals)));
    const best = known.length ? Math[top > worst ? "max" : "min"](...known).toFixed(decimals) : "";
    const differ = known.some((value) => value.toFixed(decimals) !== best);
    values.forEach((value, place) => {
      const cell = row.cells[data.first + place];
      cell.textContent = texts[place];
      cell.dataset.value = value ?? "";
      cell.style.setProperty("--v", ((value ?? 0) - worst) / (top - worst));
      cell.classList.toggle("heat", value !== null);
      cell.classList.toggle("best", differ && texts[place] === best);
    });
  }
});

// Overlap over time, below the row of a sequence.
function closeDetail() {
  body.querySelector("tr.detail")?.remove();
  body.querySelector('[aria-expanded="true"]')?.setAttribute("aria-expanded", "false");
}

for (const row of rows) {
  const button = row.querySelector("button");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") === "true";
    closeDetail();
    if (open) return;
    button.setAttribute("aria-expanded", "true");
    const detail = document.createElement("tr");
    detail.className = "detail";
    const cell = detail.insertCell();
    cell.colSpan = row.cells.length;
    cell.append(chart(Number(row.dataset.index)));
    row.after(detail);
  });
}

// Bytes 0 to 200 are overlaps in steps of 0.005, 255 is none; shaded where no tracker has any, as the target is absent.
const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function chart(index) {
  const { frames, step, curves } = data.overlaps[index];
  const lines = curves.map(unpack);
  const width = Math.max(280, Math.min(1024, body.closest(".scroll").clientWidth - 24)), height = 210, left = 34, bottom = 24, top = 8;
  const x = (point) => left + (width - left - 8) * (lines[0].length < 2 ? 0 : point / (lines[0].length - 1));
  const y = (byte) => top + (height - top - bottom) * (1 - byte / 200);
  const parts = [];
  for (const value of [0, 0.5, 1]) {
    parts.push(`<line x1="${left}" x2="${width - 8}" y1="${y(200 * value)}" y2="${y(200 * value)}" stroke="var(--line)"/>`);
    parts.push(`<text x="${left - 6}" y="${y(200 * value) + 4}" text-anchor="end">${value}</text>`);
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = share === 1 ? "end" : share === 0 ? "start" : "middle";
    const place = left + (width - left - 8) * share;
    parts.push(`<text x="${place}" y="${height - 6}" text-anchor="${anchor}">${Math.round(1 + (frames - 1) * share)}</text>`);
  }
  lines[0].forEach((_, point) => {
    if (lines.every((line) => line[point] === 255)) parts.push(`<rect x="${x(point - 0.5)}" width="${x(1) - x(0) + 0.5}" y="${top}" height="${height - top - bottom}" fill="var(--line)" opacity="0.6"/>`);
  });
  for (let place = lines.length - 1; place >= 0; place--) {
    let path = "", pen = "M";
    lines[place].forEach((byte, point) => {
      if (byte === 255) pen = "M";
      else { path += `${pen}${x(point).toFixed(1)} ${y(byte).toFixed(1)}`; pen = "L"; }
    });
    parts.push(`<path d="${path}" fill="none" stroke="${colour(place)}" stroke-width="1.6" stroke-dasharray="${dash(place)}" stroke-linejoin="round"/>`);
  }
  parts.push(`<line class="cursor" y1="${top}" y2="${height - bottom}" stroke="var(--soft)" stroke-dasharray="3 3" visibility="hidden"/>`);
  const box = document.createElement("div");
  box.className = "chart";
  box.innerHTML = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="overlap with the annotated box by frame">${parts.join("")}</svg><div class="legend"></div>`;
  const svg = box.firstChild, legend = box.lastChild, cursor = svg.querySelector(".cursor");
  const tell = (point) => {
    legend.replaceChildren();
    const where = document.createElement("span");
    where.textContent = point === null ? `overlap by frame${step > 1 ? `, means of ${step} frames` : ""}` : `frame ${Math.min(frames, 1 + point * step)}`;
    legend.append(where);
    data.trackers.forEach((tracker, place) => {
      const item = document.createElement("span");
      const byte = point === null ? null : lines[place][point];
      item.innerHTML = `<i class="swatch${place > 5 ? " dash" : ""}" style="--c:${colour(place)}"></i>`;
      item.append(tracker + (byte === null ? "" : byte === 255 ? " –" : ` ${(byte / 200).toFixed(2)}`));
      legend.append(item);
    });
  };
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect();
    const along = ((event.clientX - area.left) / area.width * width - left) / (width - left - 8);
    const point = Math.max(0, Math.min(lines[0].length - 1, Math.round(along * (lines[0].length - 1))));
    cursor.setAttribute("x1", x(point));
    cursor.setAttribute("x2", x(point));
    cursor.setAttribute("visibility", "visible");
    tell(point);
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); tell(null); });
  tell(null);
  return box;
}
