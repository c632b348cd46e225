"use strict";
// Asks the engine how it is, every second, and draws what it says. Text is set as text, never as markup: what is shown
// holds names that strangers have chosen.

const STATUS_EVERY_MS = 1000;
const MAP_EVERY_MS = 5000;
const ANSWER_MS_MAX = 4000;

const element = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const some = (count, one, more = one + "s") => `${number(count)} ${count === 1 ? one : more}`;

// Only what differs is written: whoever reads or copies a text is not disturbed.
function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function lasting(seconds) {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

function milliseconds(value) {
  return value >= 10000 ? lasting(Math.round(value / 1000)) : `${number(Number(value.toPrecision(3)))} ms`;
}

function bytes(count) {
  return count < 1048576 ? `${number(Math.ceil(count / 1024))} KiB` : `${(count / 1048576).toFixed(1)} MiB`;
}

function moment(time) {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString() : date.toLocaleString();
}

// ---- Figures ----

const TRIGGERS = {
  interval: "as the interval was over",
  capacity: "as enough was pending",
  operator: "as an operator wished",
  shutdown: "as the engine stops",
};

// What stands where, by its name. A cross marks what is not as it should be.
const FIGURES = {
  world: {
    "Time there": ({ world }) => world.time,
    Weather: ({ world }) => world.weather,
    "People online": ({ world }) => `${number(world.players_online)} of ${some(world.players, "player")}`,
    Creatures: ({ world }) => number(world.creatures),
    Things: ({ world }) => number(world.things),
    Places: ({ world }) => `${some(world.rooms, "room")}, ${some(world.exits, "exit")}`,
    Tick: ({ world }) => number(world.tick),
  },
  ticks: {
    "A tick every": ({ loop }) => milliseconds(loop.tick_interval_ms),
    "Ticks made": ({ loop }) => number(loop.ticks),
    "Left out": ({ loop }) => (loop.ticks_skipped ? `✕ ${number(loop.ticks_skipped)}` : "none"),
  },
  storage: {
    "Safe up to": ({ storage: { persisted_tick: tick }, world, loop }) =>
      tick === null
        ? "✕ not known"
        : `tick ${number(tick)}, ${milliseconds((world.tick - tick) * loop.tick_interval_ms)} ago`,
    Pending: ({ storage: { pending_records: pending, writer: { flushing_ms: out } } }) =>
      some(pending, "record") + (out === null ? "" : `, in a flush for ${milliseconds(out)}`),
    "Last flush": ({ storage: { last_flush_at: at } }) => (at ? moment(at) : "none yet"),
    "It wrote": ({ storage: { last_flush: flush } }) =>
      flush ? `${some(flush.records, "record")}, ${TRIGGERS[flush.trigger]}` : "nothing yet",
    "It took": ({ storage: { last_flush: flush } }) =>
      flush
        ? `${milliseconds(flush.duration_ms)}, with ${milliseconds(flush.commit_ms)} for commit and sync`
        : "nothing yet",
    "All flushes": ({ storage: { flush_count: done, flush_failures: failed, records_flushed: records } }) =>
      `${number(done)} done, with ${some(records, "record")}; ${failed ? number(failed) : "none"} failed`,
    "Last error": ({ storage: { last_error: error } }) => (error ? `✕ ${error}` : "none"),
    Rescue: ({ storage: { rescued } }) =>
      rescued ? `✕ of tick ${number(rescued.tick)}, to be put in place. Stop the engine, then: ${rescued.command}` : "none",
    Writer: ({ storage: { writer } }) =>
      writer.state + (writer.restarts ? `, started again ${some(writer.restarts, "time")}` : ""),
    "Write-ahead log": ({ storage: { wal_bytes: log, wal_held_up_seconds: held } }) =>
      bytes(log) + (held === null ? "" : `, held up by a reader for ${lasting(held)}`),
  },
  engine: {
    "Up for": ({ uptime_seconds: seconds }) => lasting(seconds),
    Version: ({ version }) => version,
    Memory: ({ loop: { resident_memory_bytes: memory } }) =>
      memory === null ? "not known" : `${bytes(memory)}, the writer's aside`,
    Sessions: ({ loop }) => number(loop.sessions),
    Connections: ({ loop }) =>
      Object.entries(loop.connections).map(([port, count]) => `${number(count)} by ${port}`).join(", "),
  },
};

function showFigures(status) {
  for (const section in FIGURES) {
    for (const name in FIGURES[section]) {
      const id = `${section} ${name}`;
      const text = status.world || section === "engine" ? FIGURES[section][name](status) : "";
      write(figures.get(id) ?? addFigure(section, name, id), text);
      figures.get(id).classList.toggle("wrong", text.startsWith("✕"));
    }
  }
}

const figures = new Map();

function addFigure(section, name, id) {
  element(section).appendChild(document.createElement("dt")).textContent = name;
  const figure = element(section).appendChild(document.createElement("dd"));
  figures.set(id, figure);
  return figure;
}

// A bar for each second, by the logarithm of its longest lateness: from 1 ms at a quarter of the height to 1 s.
function showLateness({ lateness_ms: seconds, tick_interval_ms: interval }) {
  const paths = { good: "", late: "" };
  seconds.forEach((late, at) => {
    const [x, height] = [at + 300.5 - seconds.length, late ? Math.min(48, 12 * (1 + Math.log10(late))) : 3];
    if (late !== null) paths[late < interval ? "good" : "late"] += `M${x} 48v-${height.toFixed(1)}`;
  });
  for (const kind in paths) element(`strip-${kind}`).setAttribute("d", paths[kind]);
  const known = seconds.filter((late) => late !== null);
  const late = known.filter((late) => late >= interval).length;
  const span = known.length < 300 ? `the ${some(known.length, "second")} with ticks` : "five minutes";
  const bad = late ? `by a whole tick or more in ${some(late, "second")}` : "never by a whole tick";
  const most = Math.max(...known);
  const text = `${most ? `At most ${milliseconds(most)}` : "Less than 1 ms"} late in ${span}; ${bad}.`;
  write(element("strip-text"), known.length ? text : "No tick in the last five minutes.");
}

// ---- How it is ----

const KINDS = { good: "✓", warn: "…", bad: "✕" };

// The state is read out when it changes; why, and for how long, is there to be read.
function tell(kind, word, why) {
  element("state").dataset.kind = kind;
  write(element("state").firstElementChild, KINDS[kind]);
  write(element("state").lastElementChild, word);
  write(element("why"), why);
  document.title = `${KINDS[kind]} ${element("name").textContent}`;
}

let version = null;
let goneSince = null;

function show(status) {
  // A page of another version may read what is no longer there.
  if (version && version !== status.version) location.reload();
  version = status.version;
  goneSince = null;
  element("figures").classList.remove("stale");
  write(element("name"), status.world ? status.world.name : "Aqevia Engine");
  showFigures(status);
  showLateness(status.loop);
  if (status.ready) {
    tell("good", "Up and ready", "What happens is stored when it is due.");
  } else {
    const { reason, since, seconds } = status.unready;
    const [kind, word] = status.world ? ["bad", "Up, but not ready"] : ["warn", "Up, and loading the World"];
    tell(kind, word, `Since ${moment(since)}, for ${lasting(seconds)}: ${reason}`);
  }
}

function miss() {
  goneSince ??= Date.now();
  element("figures").classList.add("stale");
  const gone = `Since ${moment(goneSince)}, for ${lasting(Math.round((Date.now() - goneSince) / 1000))}`;
  tell("bad", "No answer", version ? `${gone}. The figures below are the last ones it gave.` : `${gone}.`);
}

async function ask(path) {
  try {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    return [response.ok, await response.json()];
  } catch {
    return [false, null];
  }
}

async function watch() {
  const [isGiven, status] = await ask("status");
  setTimeout(watch, STATUS_EVERY_MS);
  if (isGiven) show(status);
  else miss();
}

// ---- Map: where rooms are drawn ----

// Without a prototype: an exit may be called as what stands there.
const COMPASS = {
  __proto__: null,
  north: [0, -1], east: [1, 0], south: [0, 1], west: [-1, 0],
  northeast: [1, -1], southeast: [1, 1], southwest: [-1, 1], northwest: [-1, -1],
};
// Where a place is looked for first for what lies up or down. For what lies behind an exit with a name, southeast.
const STEPS = { __proto__: null, ...COMPASS, up: [1, -1], down: [-1, 1] };
const stepOf = ({ name }) => STEPS[name] ?? COMPASS.southeast;
const turned = (step) => step.map((part) => -part);
const key = ([column, row]) => column * 131072 + row * 2;
// How often rooms are moved on until all is straight, and how often rows and columns make way for what is crowded.
const [ROUNDS_MAX, TRIES_MAX] = [100, 20];

// How much an exit tells of where it leads: 0 by the compass and back, 1 by the compass alone, 2 up or down, 3 by name.
function rankOf(exit, leading) {
  if (!COMPASS[exit.name]) return STEPS[exit.name] ? 2 : 3;
  const isBack = (other) => other.to === exit.from && key(stepOf(other)) === key(turned(stepOf(exit)));
  return leading.get(exit.to)?.some(isBack) ? 0 : 1;
}

const byStart = (links) => Map.groupBy(links, ({ from }) => from);
const bothWays = (links) =>
  byStart(links.flatMap((link) => [link, { ...link, from: link.to, to: link.from, step: turned(link.step) }]));

// The rooms that hang together with one, each with its column and row if every way is one step long.
function guess(first, near) {
  const places = new Map([[first, [0, 0]]]);
  for (const [room, at] of places) {
    for (const { to, step } of near.get(room)) {
      if (!places.has(to)) places.set(to, at.map((part, axis) => part + step[axis]));
    }
  }
  return places;
}

// Moves rooms on until those above and below each other share a column, those beside each other a row, and all others
// come after one another as the compass has it. False: that has no end, as in a maze.
function straighten(places, links) {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let isStraight = true;
    for (const { from, to, step } of links.reverse()) {
      for (const axis of [0, 1]) {
        const [low, high] = (step[axis] < 0 ? [to, from] : [from, to]).map((room) => places.get(room));
        const least = Math.max(high[axis], low[axis] + Math.abs(step[axis]));
        isStraight &&= high[axis] === least && (step[axis] !== 0 || low[axis] === least);
        high[axis] = least;
        if (!step[axis]) low[axis] = least;
      }
    }
    if (isStraight) return true;
  }
  return false;
}

// The rooms that hang together with one by the compass, no two in one place: where they would be, a row or column makes
// way.
function placePart(first, near) {
  let places = guess(first, near);
  const links = [...places.keys()].flatMap((room) => near.get(room));
  const attempt = (ranks, change = () => {}) => {
    const moved = new Map([...places].map(([room, at]) => [room, [...at]]));
    change(moved);
    const isStraight = straighten(moved, links.filter(({ rank }) => rank < ranks));
    if (isStraight) places = moved;
    return isStraight;
  };
  const ranks = [1, 2].filter((ranks) => attempt(ranks)).length;
  for (let tries = 0; ; tries++) {
    const part = { places: new Map(), taken: new Map() };
    const crowded = [...places].filter(([room, at]) => part.taken.has(key(at)) || put(part, room, at));
    if (crowded.length && ranks && tries < TRIES_MAX) {
      attempt(ranks, (moved) => crowded.forEach(([room]) => (moved.get(room)[(tries + 1) % 2] += 1)));
      continue;
    }
    for (const [room, at] of crowded) put(part, room, nearestFree(part, at, COMPASS.southeast));
    return part;
  }
}

function put({ places, taken }, room, at) {
  places.set(room, at);
  taken.set(key(at), room);
}

// The free place nearest to one, and of those as near the one that lies most in a direction. Where those beside it are
// taken, there is room for a small one between four.
function nearestFree({ taken }, [column, row], [right, down]) {
  for (let reach = 1; ; reach += reach % 1 ? 1.5 : -0.5) {
    let best = null;
    for (let x = -reach; x <= reach; x++) {
      for (let y = -reach; y <= reach; y++) {
        const [at, worth] = [[column + x, row + y], x * right + y * down];
        if (!taken.has(key(at)) && !(best?.worth >= worth)) best = { at, worth };
      }
    }
    if (best) return best.at;
  }
}

// All rooms by id, each with its column and row. What hangs together by the compass is one part. A room alone stands
// near one that it has a way to or from, and parts stand side by side.
function layOut({ rooms, exits }) {
  const ids = new Set(rooms.map(({ id }) => id));
  const known = exits.filter(({ from, to }) => ids.has(to) && from !== to);
  const leading = byStart(known);
  const links = known.map((exit) => ({ ...exit, rank: rankOf(exit, leading), step: stepOf(exit) }));
  links.sort((one, other) => one.rank - other.rank);
  const byCompass = bothWays(links.filter(({ rank }) => rank < 2));
  const others = bothWays(links.filter(({ rank }) => rank > 1));
  const home = new Map();
  for (const first of byCompass.keys()) {
    if (home.has(first)) continue;
    const part = placePart(first, byCompass);
    for (const room of part.places.keys()) home.set(room, part);
  }
  const settle = (part, room, at) => {
    put(part, room, at);
    home.set(room, part);
  };
  for (const first of [undefined, ...ids]) {
    if (home.has(first)) continue;
    if (first !== undefined) settle({ places: new Map(), taken: new Map() }, first, [0, 0]);
    for (const room of home.keys()) {
      for (const { to } of others.get(room) ?? []) {
        if (home.has(to)) continue;
        const { to: near, step } = others.get(to).find((link) => home.has(link.to));
        const part = home.get(near);
        settle(part, to, nearestFree(part, part.places.get(near), turned(step)));
      }
    }
  }
  return arrange([...new Set(home.values())]);
}

function range(places, axis) {
  let [low, high] = [Infinity, -Infinity];
  for (const at of places.values()) [low, high] = [Math.min(low, at[axis]), Math.max(high, at[axis])];
  return [Math.floor(low), Math.ceil(high)];
}

// Parts in rows, the highest first, all together about as wide as they are high.
function arrange(parts) {
  const boxes = parts.map(({ places }) => {
    const [[left, right], [top, bottom]] = [0, 1].map((axis) => range(places, axis));
    return { places, left, top, width: right - left + 2, height: bottom - top + 2 };
  });
  const area = boxes.reduce((sum, { width, height }) => sum + width * height, 0);
  const wide = Math.max(...boxes.map(({ width }) => width), Math.ceil(Math.sqrt(area)));
  const placed = new Map();
  let [x, y, below] = [0, 0, 0];
  for (const { places, left, top, width, height } of boxes.sort((one, other) => other.height - one.height)) {
    if (x + width > wide) [x, y] = [0, below];
    for (const [room, [column, row]] of places) placed.set(room, [column - left + x, row - top + y]);
    x += width;
    below = Math.max(below, y + height);
  }
  return placed;
}

// ---- Map: drawing ----

const [CELL_WIDTH, CELL_HEIGHT, ROOM_WIDTH, ROOM_HEIGHT] = [160, 88, 124, 44];
const [FRAME, SECOND_FRAME] = ["M-62 -22h124v44h-124z", "M-48 -12h96v24h-96z"];
const LINE_LETTERS = 18;
const NOWHERE = "leads to nothing on this map";

let map = null;
let placed = null;
const drawn = new Map();
const entries = new Map();

function draw(parent, name, attributes, text = "") {
  const node = parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  for (const attribute in attributes) node.setAttribute(attribute, attributes[attribute]);
  node.textContent = text;
  return node;
}

// A name on one line or two. What is longer is cut, and stands whole in the list.
function broken(name) {
  const lines = [];
  for (const word of name.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length === 2 || (lines.length && longer.length <= LINE_LETTERS)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map((line) => (line.length > LINE_LETTERS ? `${[...line].slice(0, LINE_LETTERS - 1).join("")}…` : line));
}

const centre = ([column, row]) => [column * CELL_WIDTH, row * CELL_HEIGHT];
const scaleOf = ([column]) => (column % 1 ? 0.55 : 1);

// Where the line from a room's centre to a point leaves its frame.
function rim(place, [towardsX, towardsY]) {
  const [[x, y], scale] = [centre(place), scaleOf(place) / 2];
  const [dx, dy] = [towardsX - x, towardsY - y];
  const part = Math.min((ROOM_WIDTH * scale) / Math.abs(dx), (ROOM_HEIGHT * scale) / Math.abs(dy));
  return [x + dx * part, y + dy * part].join(" ");
}

// A straight line, or a bow where that would cross another room.
function course(from, to, taken) {
  const [columns, rows] = [to[0] - from[0], to[1] - from[1]];
  const steps = Math.max(Math.abs(columns), Math.abs(rows));
  const between = Array.from({ length: Math.ceil(steps) - 1 }, (_, at) => (at + 1) / steps);
  const isTaken = (part) => taken.has(key([from[0] + columns * part, from[1] + rows * part].map(Math.round)));
  const [[x, y], [endX, endY]] = [centre(from), centre(to)];
  if (!between.some(isTaken)) return `M${rim(from, [endX, endY])}L${rim(to, [x, y])}`;
  const bend = [(x + endX) / 2 + (endY - y) / 4, (y + endY) / 2 - (endX - x) / 4];
  return `M${rim(from, bend)}Q${bend.join(" ")} ${rim(to, bend)}`;
}

// One line for a way and the way back; an arrow where there is none.
function drawWays(exits) {
  const taken = new Set([...placed.values()].map(key));
  const single = new Map();
  for (const { from, to, name, locked } of exits) {
    const [start, end] = [placed.get(from), placed.get(to)];
    const kind = `way${locked ? " locked" : ""}${COMPASS[name] ? "" : " named"}`;
    const back = single.get(`${to} ${from} ${kind}`);
    if (back) {
      single.delete(`${to} ${from} ${kind}`);
      back.removeAttribute("marker-end");
      back.firstChild.textContent += ` / ${name}`;
    } else if (end && from !== to) {
      const d = course(start, end, taken);
      const way = draw(element("ways"), "path", { class: kind, d, "marker-end": "url(#tip)" });
      draw(way, "title", {}, name);
      single.set(`${from} ${to} ${kind}`, way);
    } else {
      const [[x, y], [right, down]] = [centre(start), stepOf({ name })];
      const d = `M${rim(start, [x + right * CELL_WIDTH, y + down * CELL_HEIGHT])}l${right * 14} ${down * 14}`;
      draw(draw(element("ways"), "path", { class: kind, d }), "title", {}, `${name}: ${end ? "leads back" : NOWHERE}`);
    }
  }
}

function drawRoom({ id, name }) {
  const place = placed.get(id);
  const transform = `translate(${centre(place).join(" ")}) scale(${scaleOf(place)})`;
  const group = draw(element("rooms"), "g", { class: "room", transform });
  draw(group, "title", {}, name);
  draw(group, "path", { d: FRAME });
  draw(group, "path", { class: "second", d: SECOND_FRAME });
  broken(name).forEach((line, row, { length }) => draw(group, "text", { y: 4 + (row - (length - 1) / 2) * 14 }, line));
  drawn.set(id, group);
}

// How many are there, over the lower edge of the room.
function drawBadge(group, { creatures, people }) {
  group.querySelector(".badge")?.remove();
  group.classList.toggle("peopled", people > 0);
  const text = [creatures && `◆ ${creatures}`, people && `▲ ${people}`].filter(Boolean).join("  ");
  if (!text) return;
  const badge = draw(group, "g", { class: "badge", transform: `translate(0 ${ROOM_HEIGHT / 2})` });
  const width = 12 + 7 * text.length;
  draw(badge, "rect", { x: -width / 2, y: -8, width, height: 17, rx: 8 });
  draw(badge, "text", { y: 4.5 }, text);
}

function showMap(next) {
  const { rooms, exits, inhabited, rooms_total: total, exits_total: ways } = next;
  const shape = JSON.stringify([rooms, exits]);
  if (map?.shape !== shape) {
    placed = layOut(next);
    for (const list of [drawn, entries]) list.clear();
    for (const id of ["ways", "rooms", "entries"]) element(id).replaceChildren();
    drawWays(exits);
    rooms.forEach(drawRoom);
    showWhole();
  }
  map = { shape, rooms, exits, inhabited: new Map(inhabited.map((here) => [here.room, here])) };
  for (const [id, group] of drawn) {
    const here = map.inhabited.get(id) ?? { creatures: 0, people: 0 };
    const counts = `${here.creatures} ${here.people}`;
    if (group.dataset.counts !== counts) drawBadge(group, here);
    group.dataset.counts = counts;
  }
  const part = rooms.length < total ? `, too many for a map: here are the first ${number(rooms.length)} rooms` : "";
  write(element("map-text"), `${some(total, "room")} and ${some(ways, "exit")}${part}.`);
  listRooms();
}

// The same in words, while somebody reads it. Each name shows its room on the map.
function listRooms() {
  if (!map || !element("list").open) return;
  const names = new Map(map.rooms.map(({ id, name }) => [id, name]));
  const leading = byStart(map.exits);
  const inWords = ({ to, name, locked }) =>
    `${name} ${names.has(to) ? `to ${names.get(to)}` : NOWHERE}${locked ? " (locked)" : ""}`;
  for (const { id, name } of map.rooms) {
    if (!entries.has(id)) {
      const entry = element("entries").appendChild(document.createElement("li"));
      const button = entry.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => find(id));
      entries.set(id, entry.appendChild(document.createElement("span")));
    }
    const here = map.inhabited.get(id);
    const there = here ? `${some(here.creatures, "creature")}, ${some(here.people, "person", "people")}; ` : "";
    write(entries.get(id), ` ${there}${leading.get(id)?.map(inWords).join(", ") ?? "no way out"}`);
  }
}

// ---- Map: the view of it ----

const [SCALE_MIN, SCALE_MAX, SCALE_OF_WORDS] = [0.02, 3, 0.55];
const view = { x: 0, y: 0, scale: 1, isWhole: true };
const size = () => [element("map").clientWidth, element("map").clientHeight];

function look(x, y, scale, isWhole = false) {
  Object.assign(view, { x, y, scale, isWhole });
  element("view").setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
  element("view").classList.toggle("far", scale < SCALE_OF_WORDS);
}

function showWhole() {
  if (!placed) return;
  const [[width, height], [columns, rows]] = [size(), [0, 1].map((axis) => range(placed, axis)[1])];
  const scale = Math.min(1.2, width / (columns + 1) / CELL_WIDTH, height / (rows + 1) / CELL_HEIGHT);
  look((width - scale * columns * CELL_WIDTH) / 2, (height - scale * rows * CELL_HEIGHT) / 2, scale, true);
}

function move(right, down) {
  look(view.x + right, view.y + down, view.scale);
}

function zoom(by, x = size()[0] / 2, y = size()[1] / 2) {
  const scale = Math.min(SCALE_MAX, Math.max(SCALE_MIN, view.scale * by));
  look(x - ((x - view.x) * scale) / view.scale, y - ((y - view.y) * scale) / view.scale, scale);
}

function find(id) {
  element("rooms").querySelector(".found")?.classList.remove("found");
  drawn.get(id).classList.add("found");
  const [[x, y], [width, height], scale] = [centre(placed.get(id)), size(), Math.max(view.scale, 1)];
  look(width / 2 - x * scale, height / 2 - y * scale, scale);
  element("map").scrollIntoView({ block: "center" });
}

const KEYS = {
  ArrowLeft: () => move(60, 0),
  ArrowRight: () => move(-60, 0),
  ArrowUp: () => move(0, 60),
  ArrowDown: () => move(0, -60),
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  0: showWhole,
};

function listen() {
  const area = element("map");
  const buttons = { closer: KEYS["+"], farther: KEYS["-"], whole: showWhole };
  for (const id in buttons) element(id).addEventListener("click", buttons[id]);
  element("list").addEventListener("toggle", listRooms);
  new ResizeObserver(() => view.isWhole && showWhole()).observe(area);
  area.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  area.addEventListener("wheel", (event) => {
    // Who scrolls by, with all of the map in sight, scrolls on.
    if (view.isWhole && event.deltaY > 0) return;
    event.preventDefault();
    const box = area.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.04 : 0.002)), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  let held = null;
  area.addEventListener("pointerdown", (event) => {
    held = event;
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    if (!area.hasPointerCapture(event.pointerId)) return;
    move(event.clientX - held.clientX, event.clientY - held.clientY);
    held = event;
  });
}

async function watchMap() {
  const [isGiven, answer] = await ask("map");
  setTimeout(watchMap, MAP_EVERY_MS);
  if (isGiven) showMap(answer);
  else if (answer && !map) write(element("map-text"), `No map yet: ${answer.error}.`);
}

listen();
watch();
watchMap();
