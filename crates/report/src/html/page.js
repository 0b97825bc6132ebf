"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const run = JSON.parse($("run").textContent);
  const ran = run.steps.filter((step) => step.slot !== undefined && step.started !== undefined);
  // What was tried before stands where it ran, as a step of its own that nothing needed.
  for (const step of run.steps) {
    for (const attempt of step.attempts ?? []) {
      const { step: id, name, drvPath, kind, after, critical } = step;
      ran.push({
        step: id, name, drvPath, kind, after, critical, state: "retried", slot: attempt.slot, started: attempt.started,
        ended: attempt.ended, duration: attempt.ended - attempt.started, reason: attempt.message,
      });
    }
  }

  // ---- Words, as in the rest of the page ----

  const seconds = (micros) => {
    const s = micros / 1e6;
    const two = (n) => String(n).padStart(2, "0");
    if (micros === 0) return "0 s";
    if (micros < 1e3) return `${micros} µs`;
    if (micros < 995e3) return `${Math.floor(micros / 1e3)} ms`;
    if (s < 60) return `${s.toFixed(1)} s`;
    if (s < 3600) return `${Math.floor(s / 60)} m ${two(Math.floor(s % 60))} s`;
    return `${Math.floor(s / 3600)} h ${two(Math.floor((s / 60) % 60))} m`;
  };
  const bytes = (n) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (n >= 1024 && unit + 1 < units.length) { n /= 1024; unit += 1; }
    return unit === 0 ? `${n} B` : `${n.toFixed(1)} ${units[unit]}`;
  };
  const kinds = { build: "build", fetch: "download", rebuild: "build again" };
  const states = {
    waiting: "not run", running: "running when the recording ended", made: "done", present: "already built",
    failed: "failed", stopped: "stopped", skipped: "skipped", retried: "ended badly, and was tried again",
  };

  // ---- Light and dark ----

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const theme = $("theme");
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  nameTheme();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
    draw();
  });
  dark.addEventListener("change", () => { nameTheme(); draw(); });

  // ---- The timeline's places ----

  const chart = $("chart");
  const canvas = $("canvas");
  const pen = canvas.getContext("2d");
  const [begin, end] = run.span;
  const length = Math.max(end - begin, 1);
  const view = { from: begin, to: begin + length };
  const key = (slot) => `${slot.pool} ${slot.index}`;
  const rows = run.slots.map((slot) => ({ ...slot, steps: [] }));
  const rowOf = new Map(rows.map((row, index) => [key(row), index]));
  for (const step of ran) rows[rowOf.get(key(step.slot))].steps.push(step);
  for (const row of rows) row.steps.sort((a, b) => a.started - b.started);

  const AXIS = 26;
  const GUTTER = 104;
  const GRAPH = 56;
  const rowHeight = rows.length > 24 ? 19 : 27;
  const graphs = [{ label: "builds at once", of: 1, show: (n) => String(n), least: Math.max(run.jobs, 1) }];
  if (ran.some((step) => step.peakMemory !== undefined)) {
    graphs.push({ label: "memory", note: "sum of peaks", of: 2, show: bytes, least: 1 });
  }
  // Downloads stand apart from builds.
  const firstFetch = rows.findIndex((row) => row.pool === "fetch");
  const gap = firstFetch > 0 ? 8 : 0;
  const rowTop = (index) => AXIS + 4 + index * rowHeight + (firstFetch >= 0 && index >= firstFetch ? gap : 0);
  const rowsEnd = rowTop(rows.length - 1) + rowHeight + 4;
  const height = rowsEnd + graphs.length * GRAPH + 6;
  let width = 0;

  const room = () => Math.max(width - GUTTER - 8, 10);
  const x = (at) => GUTTER + ((at - view.from) / (view.to - view.from)) * room();
  const time = (px) => view.from + ((px - GUTTER) / room()) * (view.to - view.from);
  const ended = (step) => step.ended ?? end;

  let chosen = null;
  let hovered = null;
  let matches = null;
  let band = null;

  const neighbours = (step) => ({
    before: step.after.map((id) => run.steps[id]).filter(Boolean),
    behind: step.state === "retried" ? [] : run.steps.filter((other) => other.after.includes(step.step)),
  });

  // ---- Drawing ----

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  const stepColour = (step) => {
    if (["failed", "stopped", "retried"].includes(step.state)) return "failed";
    return step.kind;
  };

  const box = (step) => {
    const row = rowOf.get(key(step.slot));
    const left = Math.max(x(step.started), GUTTER);
    const right = Math.min(x(ended(step)), width - 8);
    // A line stays free between a step and the next one.
    const edge = right - left > 4 ? 1 : 0;
    return { left, right: Math.max(right - edge, left + 1.5), top: rowTop(row) + 2, height: rowHeight - 4 };
  };

  const isShown = (step) => ended(step) >= view.from && step.started <= view.to;

  const tick = () => {
    const wanted = (view.to - view.from) / Math.max(room() / 90, 1);
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500].map((ms) => ms * 1e3)
      .concat([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400].map((s) => s * 1e6));
    return steps.find((step) => step >= wanted) ?? 864e8;
  };

  const tickLabel = (micros, step) => {
    if (micros === 0) return "0";
    if (step < 1e6) return `${(micros / 1e6).toFixed(step < 1e4 ? 3 : step < 1e5 ? 2 : 1)} s`;
    const s = Math.round(micros / 1e6);
    if (s < 60) return `${s} s`;
    const parts = s < 3600 ? [Math.floor(s / 60), s % 60] : [Math.floor(s / 3600), Math.floor((s / 60) % 60), s % 60];
    return parts.map((n, i) => (i ? String(n).padStart(2, "0") : n)).join(":");
  };

  // Names often begin alike, so the middle is left out.
  const shortened = (text, length) => {
    const last = Math.floor(length / 2);
    return `${text.slice(0, length - last)}…${last ? text.slice(-last) : ""}`;
  };
  const fitted = (text, space) => {
    if (pen.measureText(text).width <= space) return text;
    let low = 0;
    let high = text.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (pen.measureText(shortened(text, middle)).width <= space) low = middle; else high = middle - 1;
    }
    return low > 1 ? shortened(text, low) : "";
  };

  const drawAxis = (c) => {
    const step = tick();
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    for (let at = Math.ceil((view.from - begin) / step) * step; at <= view.to - begin; at += step) {
      const px = x(begin + at);
      pen.fillStyle = c.line;
      pen.fillRect(Math.round(px), AXIS - 5, 1, height - AXIS);
      const label = tickLabel(at, step);
      const half = pen.measureText(label).width / 2;
      if (px + half <= width - 2) {
        pen.fillStyle = c.soft;
        pen.fillText(label, px, AXIS / 2 - 1);
      }
    }
  };

  const drawStep = (step, c) => {
    const b = box(step);
    const wide = b.right - b.left;
    pen.globalAlpha = matches && !matches.has(step.step) ? 0.22 : 1;
    pen.fillStyle = c[stepColour(step)];
    pen.fillRect(b.left, b.top, wide, b.height);
    if (step.builderEnded !== undefined) {
      const from = Math.min(Math.max(x(step.builderEnded), b.left), b.right);
      pen.fillStyle = c.shade;
      pen.fillRect(from, b.top, b.right - from, b.height);
    }
    if (step.critical) {
      pen.fillStyle = c.critical;
      pen.fillRect(b.left, b.top + b.height - 4, wide, 4);
    }
    if (wide > 34) {
      const text = fitted(step.name, wide - 12);
      pen.fillStyle = "#ffffff";
      pen.textAlign = "left";
      pen.fillText(text, b.left + 6, b.top + (b.height - (step.critical ? 3 : 0)) / 2 + 0.5);
    }
    if (step === chosen || step === hovered) {
      pen.strokeStyle = c.wire;
      pen.lineWidth = 2;
      pen.strokeRect(b.left - 1, b.top - 1, wide + 2, b.height + 2);
    }
    pen.globalAlpha = 1;
  };

  // What the chosen step needs, and what needs it.
  const drawWires = (c) => {
    if (!chosen || chosen.slot === undefined) return;
    const { before, behind } = neighbours(chosen);
    const pairs = before.map((step) => [step, chosen]).concat(behind.map((step) => [chosen, step]));
    pen.strokeStyle = c.wire;
    pen.lineWidth = 1.25;
    for (const [a, b] of pairs) {
      if (a.slot === undefined || b.slot === undefined) continue;
      const row = (step) => rowTop(rowOf.get(key(step.slot)));
      const middle = (step) => row(step) + rowHeight / 2;
      const [x1, x2] = [x(ended(a)), x(b.started)];
      if (row(a) === row(b)) {
        // Below the names of what lies between.
        const low = row(a) + rowHeight;
        pen.beginPath();
        pen.moveTo(x1 - 3, low - 4);
        pen.lineTo(x1 - 3, low);
        pen.lineTo(x2 + 3, low);
        pen.lineTo(x2 + 3, low - 4);
        pen.stroke();
        continue;
      }
      const bend = Math.max((x2 - x1) / 2, 18);
      pen.beginPath();
      pen.moveTo(x1, middle(a));
      pen.bezierCurveTo(x1 + bend, middle(a), x2 - bend, middle(b), x2, middle(b));
      pen.stroke();
    }
  };

  const drawGraph = (graph, index, c) => {
    const top = rowsEnd + index * GRAPH + 8;
    const tall = GRAPH - 16;
    const most = run.load.reduce((most, point) => Math.max(most, point[graph.of]), graph.least);
    pen.fillStyle = c.row;
    pen.fillRect(GUTTER, top, room(), tall);
    pen.fillStyle = c.build;
    pen.globalAlpha = 0.55;
    run.load.forEach((point, i) => {
      const next = i + 1 < run.load.length ? run.load[i + 1][0] : end;
      const left = Math.max(x(point[0]), GUTTER);
      const right = Math.min(x(next), GUTTER + room());
      const part = (point[graph.of] / most) * tall;
      const [a, b] = [Math.round(left), Math.round(right)];
      if (b > a) pen.fillRect(a, top + tall - part, b - a, part);
    });
    pen.globalAlpha = 1;
    pen.textAlign = "right";
    pen.fillStyle = c.text;
    pen.fillText(graph.label, GUTTER - 8, top + tall / 2 - (graph.note ? 7 : 0));
    if (graph.note) {
      pen.fillStyle = c.soft;
      pen.fillText(graph.note, GUTTER - 8, top + tall / 2 + 8);
    }
    const label = `at most ${graph.show(most)}`;
    pen.textAlign = "left";
    const space = pen.measureText(label).width + 10;
    pen.fillStyle = c.back;
    pen.globalAlpha = 0.85;
    pen.fillRect(GUTTER, top, space, 17);
    pen.globalAlpha = 1;
    pen.fillStyle = c.text;
    pen.fillText(label, GUTTER + 5, top + 9);
  };

  let pending = false;
  const draw = () => {
    if (pending || rows.length === 0) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; drawNow(); });
  };

  const drawNow = () => {
    const scale = window.devicePixelRatio || 1;
    width = chart.clientWidth;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const c = {};
    for (const name of ["back", "row", "line", "text", "soft", "build", "fetch", "rebuild", "failed", "shade", "critical", "wire"]) {
      c[name] = colour(name);
    }
    pen.fillStyle = c.back;
    pen.fillRect(0, 0, width, height);
    rows.forEach((row, index) => {
      pen.fillStyle = c.row;
      pen.fillRect(GUTTER, rowTop(index) + 2, room(), rowHeight - 4);
    });
    drawAxis(c);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER - 1, AXIS, room() + 2, rowsEnd - AXIS);
    pen.clip();
    for (const step of ran) if (isShown(step)) drawStep(step, c);
    drawWires(c);
    if (band) {
      pen.fillStyle = c.wire;
      pen.globalAlpha = 0.15;
      pen.fillRect(Math.min(band[0], band[1]), AXIS, Math.abs(band[1] - band[0]), rowsEnd - AXIS);
      pen.globalAlpha = 1;
    }
    pen.restore();
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "right";
    rows.forEach((row, index) => {
      pen.fillStyle = c.text;
      pen.fillText(`${row.pool === "fetch" ? "download" : "build"} ${row.index + 1}`, GUTTER - 8, rowTop(index) + rowHeight / 2);
    });
    graphs.forEach((graph, index) => drawGraph(graph, index, c));
  };

  // ---- Zoom ----

  const show = (from, to) => {
    const least = Math.min(1000, length);
    let span = Math.min(Math.max(to - from, least), length);
    let start = Math.min(Math.max(from, begin), begin + length - span);
    view.from = start;
    view.to = start + span;
    draw();
  };
  const zoom = (factor, at = (view.from + view.to) / 2) => {
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
  };
  const showAll = () => show(begin, begin + length);
  $("zoom-in").addEventListener("click", () => zoom(1 / 1.6));
  $("zoom-out").addEventListener("click", () => zoom(1.6));
  $("zoom-all").addEventListener("click", showAll);

  chart.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const [px, py] = place(event);
      zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY)) / 300), time(px));
      showTip(stepAt(px, py), px, py);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const move = ((event.deltaX || event.deltaY) / room()) * (view.to - view.from);
      show(view.from + move, view.to + move);
    }
  }, { passive: false });

  // ---- Details ----

  const element = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };

  const facts = (step) => {
    const list = [["kind", kinds[step.kind]], ["state", states[step.state] + (step.critical ? ", on the critical path" : "")]];
    const add = (label, value, show) => { if (value !== undefined) list.push([label, show(value)]); };
    add("reason", step.reason, String);
    if (step.duration !== undefined) {
      const earlier = step.expected === undefined ? "" : ` (earlier ${seconds(step.expected)})`;
      list.push(["time", seconds(step.duration) + earlier]);
      list.push(["began", `after ${seconds(step.started - begin)}`]);
    }
    if (step.builderEnded !== undefined) list.push(["of that", `${seconds(ended(step) - step.builderEnded)} checking and registering`]);
    for (const attempt of step.attempts ?? []) list.push(["before", `tried for ${seconds(attempt.ended - attempt.started)}`]);
    add("waited", step.waited, (n) => `${seconds(n)} for another process`);
    if (step.user !== undefined) list.push(["processor", `${seconds(step.user)} user, ${seconds(step.system)} system`]);
    add("memory", step.peakMemory, bytes);
    add("downloaded", step.bytes, bytes);
    return list;
  };

  const describe = (step, parent) => {
    element("strong", step.name, parent);
    const list = element("dl", undefined, parent);
    for (const [label, value] of facts(step)) {
      element("dt", label, list);
      element("dd", value, list);
    }
    return list;
  };

  const tip = $("tip");
  const showTip = (step, px, py) => {
    hovered = step;
    tip.hidden = !step;
    if (step) {
      tip.replaceChildren();
      describe(step, tip);
      const left = px + 16 + tip.offsetWidth > width ? px - tip.offsetWidth - 12 : px + 16;
      const top = py + 16 + tip.offsetHeight > height ? height - tip.offsetHeight - 6 : py + 16;
      tip.style.left = `${Math.max(left, 4)}px`;
      tip.style.top = `${Math.max(top, 4)}px`;
    }
    draw();
  };

  const choose = (step) => {
    chosen = step;
    const panel = $("chosen");
    panel.replaceChildren();
    for (const row of document.querySelectorAll("tr.is-chosen")) row.classList.remove("is-chosen");
    if (step) {
      document.querySelector(`#steps tr[data-step="${step.step}"]`)?.classList.add("is-chosen");
      const list = describe(step, panel);
      for (const [label, value] of [["derivation", step.drvPath], ["from", step.url]]) {
        if (value === undefined) continue;
        element("dt", label, list);
        element("code", value, element("dd", undefined, list));
      }
      const phases = step.phases ?? [];
      phases.forEach((phase, index) => {
        const until = index + 1 < phases.length ? phases[index + 1].at : step.builderEnded ?? ended(step);
        element("dt", phase.phase, list);
        element("dd", seconds(until - phase.at), list);
      });
      const { before, behind } = neighbours(step);
      for (const [label, others] of [["needs", before], ["needed by", behind]]) {
        if (others.length === 0) continue;
        element("dt", label, list);
        const cell = element("dd", undefined, list);
        others.forEach((other, index) => {
          if (index) cell.append(", ");
          const button = element("button", other.name, cell);
          button.type = "button";
          button.addEventListener("click", () => bringIntoView(other));
        });
      }
    }
    draw();
  };

  const bringIntoView = (step) => {
    choose(step);
    if (step.slot === undefined) return;
    const span = view.to - view.from;
    if (step.started < view.from || ended(step) > view.to) {
      const middle = (step.started + ended(step)) / 2;
      const wanted = Math.max(span, (ended(step) - step.started) * 1.2);
      show(middle - wanted / 2, middle + wanted / 2);
    }
  };

  // ---- The mouse ----

  const stepAt = (px, py) => {
    let near = null;
    for (const step of ran) {
      if (!isShown(step)) continue;
      const b = box(step);
      if (py < b.top - 2 || py > b.top + b.height + 2 || px < b.left - 2 || px > b.right + 2) continue;
      // Of steps that are thinner than a pixel, the nearest.
      const away = Math.abs(px - (b.left + b.right) / 2) - (b.right - b.left) / 2;
      if (!near || away < near.away) near = { step, away };
    }
    return near?.step ?? null;
  };

  let drag = null;
  const place = (event) => {
    const frame = chart.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  chart.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [px] = place(event);
    drag = { px, from: view.from, to: view.to, zooming: event.shiftKey, moved: false };
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointermove", (event) => {
    const [px, py] = place(event);
    if (!drag) return showTip(stepAt(px, py), px, py);
    drag.moved ||= Math.abs(px - drag.px) > 3;
    if (!drag.moved) return undefined;
    showTip(null);
    chart.classList.add("moving");
    if (drag.zooming) {
      band = [drag.px, px];
      return draw();
    }
    const move = ((drag.px - px) / room()) * (drag.to - drag.from);
    return show(drag.from + move, drag.to + move);
  });
  const endDrag = (event) => {
    if (!drag) return;
    const [px, py] = place(event);
    if (drag.moved && drag.zooming) {
      const [a, b] = [time(drag.px), time(px)];
      show(Math.min(a, b), Math.max(a, b));
    } else if (!drag.moved) {
      choose(stepAt(px, py));
    }
    band = null;
    drag = null;
    chart.classList.remove("moving");
    draw();
  };
  chart.addEventListener("pointerup", endDrag);
  chart.addEventListener("pointercancel", endDrag);
  chart.addEventListener("pointerleave", () => { if (!drag) showTip(null); });
  chart.addEventListener("dblclick", (event) => {
    const step = stepAt(...place(event));
    if (step) {
      const more = (ended(step) - step.started) * 0.1;
      show(step.started - more, ended(step) + more);
    } else {
      showAll();
    }
  });

  // ---- The keyboard ----

  const move = (keyName) => {
    if (!chosen || chosen.slot === undefined) return ran.length ? ran.reduce((a, b) => (b.started < a.started ? b : a)) : null;
    const row = rowOf.get(key(chosen.slot));
    const at = rows[row].steps.indexOf(chosen);
    if (keyName === "ArrowLeft") return rows[row].steps[at - 1] ?? chosen;
    if (keyName === "ArrowRight") return rows[row].steps[at + 1] ?? chosen;
    const next = rows[row + (keyName === "ArrowUp" ? -1 : 1)];
    if (!next) return chosen;
    const away = (step) => Math.max(step.started - ended(chosen), chosen.started - ended(step), 0);
    return next.steps.reduce((a, b) => (away(b) < away(a) ? b : a));
  };
  chart.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = { "+": () => zoom(1 / 1.6), "=": () => zoom(1 / 1.6), "-": () => zoom(1.6), 0: showAll, Escape: () => choose(null) };
    if (event.key.startsWith("Arrow")) {
      const step = move(event.key);
      if (step) bringIntoView(step);
    } else if (actions[event.key]) {
      actions[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  });

  // ---- Finding ----

  const find = $("find");
  const rowsOfTable = [...document.querySelectorAll("#steps tbody tr")];
  const LISTED = 25;
  let all = rowsOfTable.length <= LISTED;
  const more = $("more");
  const list = () => {
    let shown = 0;
    for (const row of document.querySelectorAll("#steps tbody tr")) {
      const fits = !matches || matches.has(Number(row.dataset.step));
      row.hidden = !fits || (!all && shown >= LISTED);
      if (!row.hidden) shown += 1;
    }
    const wanted = matches ? matches.size : rowsOfTable.length;
    more.hidden = shown >= wanted;
    more.textContent = `Show all ${wanted}`;
  };
  more.addEventListener("click", () => { all = true; list(); });
  find.addEventListener("input", () => {
    const word = find.value.trim().toLowerCase();
    matches = word ? new Set(run.steps.filter((step) => step.name.toLowerCase().includes(word)).map((step) => step.step)) : null;
    $("found").textContent = matches ? `${matches.size} of ${run.steps.length}` : "";
    list();
    draw();
  });

  // ---- The table ----

  const headings = [...document.querySelectorAll("#steps thead th")];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const isNumber = heading.classList.contains("number");
      const old = heading.getAttribute("aria-sort");
      const down = old ? old === "ascending" : isNumber;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column];
        return isNumber ? Number(cell.dataset.value ?? -1) : cell.textContent.toLowerCase();
      };
      const sorted = rowsOfTable.map((row) => [value(row), row]);
      sorted.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
      document.querySelector("#steps tbody").append(...sorted.map(([, row]) => row));
      list();
    });
  });
  for (const row of document.querySelectorAll("[data-step]")) {
    row.addEventListener("click", () => {
      bringIntoView(run.steps[Number(row.dataset.step)]);
      chart.scrollIntoView({ block: "nearest" });
    });
  }
  headings[2]?.setAttribute("aria-sort", "descending");
  list();

  // ---- Begin ----

  if (rows.length > 0) {
    $("timeline").hidden = false;
    new ResizeObserver(draw).observe(chart);
    drawNow();
  }
})();
