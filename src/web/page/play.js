// The page to play on. It speaks to the engine over one WebSocket: binary frames hold what a terminal would get and send,
// text frames hold messages of GMCP. What they say is shown as text and never as markup, and nothing is believed of its
// shape. Without a connection everything that was told stays, and the page comes back by itself.
'use strict';

const LINES_MAX = 1_000; // In the log. Whoever has scrolled up keeps their place until there are three times as many.
const ROOMS_MAX = 500; // On a map.
const MAPS_MAX = 8; // In this browser.
const HISTORY_MAX = 200;
const LISTED_MAX = 100; // Things, people, ways and what can be done with one.
const PAUSE_MS_MAX = 30_000; // Between two tries to come back.
const PING_MS = 20_000; // Between two questions whether the connection is alive.
const PLAYERS_MS = 30_000; // Between two looks at who is online.

const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const on = (target, event, handler) => target.addEventListener(event, handler);

/// An element with these properties and children. Text comes in as text here, and nowhere in another way.
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/// Shows words where there is a place for them, which is not there without any.
const put = (place, words) => Object.assign(place, { textContent: words, hidden: !words });

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (value) => (Array.isArray(value) ? value.slice(0, LISTED_MAX) : []);
const objectsOf = (value) => listOf(value).filter(isObject);
const wordsOf = (value) => (typeof value === 'string' ? value.slice(0, 2_000) : '');

/// What this browser keeps, if it keeps anything: it may be forbidden to, or full.
function stored(key, storage = 'localStorage') {
  try {
    return JSON.parse(window[storage].getItem(key));
  } catch {
    return null;
  }
}

function store(key, value, storage = 'localStorage') {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, JSON.stringify(value));
  } catch { /* Then it is not kept. */ }
}

// ---- Words with colours ----

/// Codes of SGR (ECMA-48): what they set, and the class that shows it; without one they set it back.
const SGR = { 1: ['weight', 'bold'], 3: ['slant', 'italic'], 4: ['line', 'underlined'], 22: ['weight'], 23: ['slant'],
  24: ['line'], 39: ['colour'] };
['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'].forEach((colour, number) => {
  SGR[30 + number] = SGR[90 + number] = ['colour', colour];
});
const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)/;
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

/// What a line shows, as pieces of text with the classes they bear, and the style after it. Escape sequences other than
/// SGR, codes of SGR other than those above, and control characters are left out.
function styled(line, style) {
  const pieces = [];
  line.split(ESCAPE).forEach((part, place, parts) => {
    if (place % 3 === 0) {
      const text = part.replace(CONTROLS, '');
      if (text) pieces.push({ text, classes: Object.values(style).filter(Boolean).join(' ') });
    } else if (place % 3 === 2 && part === 'm') {
      style = restyled(style, parts[place - 1].split(';').map(Number));
    }
  });
  return { pieces, style };
}

function restyled(before, codes) {
  let style = { ...before };
  for (let at = 0; at < codes.length; at++) {
    // What follows these are numbers of a colour, not codes.
    if (codes[at] === 38 || codes[at] === 48) at += codes[at + 1] === 5 ? 2 : 4;
    else if (codes[at] === 0) style = {};
    else if (Object.hasOwn(SGR, codes[at])) style[SGR[codes[at]][0]] = SGR[codes[at]][1];
  }
  return style;
}

// ---- The log ----

const log = $('log');
let isAtEnd = true;
let end = 0; // Where the log was scrolled to when its end was shown last.
let newBelow = 0;

/// Appends lines. Whoever reads further up keeps their place, and is told that there is more.
function tell(...lines) {
  noteScrolling();
  log.append(...lines);
  while (log.children.length > (isAtEnd ? LINES_MAX : 3 * LINES_MAX)) log.firstChild.remove();
  if (isAtEnd) return toEnd();
  newBelow += lines.length;
  put($('more'), newBelow === 1 ? 'A new line below ↓' : `${newBelow} new lines below ↓`);
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
  end = log.scrollTop;
  [isAtEnd, newBelow, $('more').hidden] = [true, 0, true];
}

/// What the page itself has to say looks as nothing that comes from the world does.
const remark = (words) => tell(make('p', { className: 'remark', textContent: words }));
const now = () => new Date().toLocaleTimeString();

/// Whoever scrolls up leaves the end; not so if the log has become lower, and its end has gone out of sight by that.
function noteScrolling() {
  const isNear = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  isAtEnd = isNear || (isAtEnd && log.scrollTop >= end - 8);
}

on(log, 'scroll', () => {
  noteScrolling();
  if (isAtEnd) toEnd();
});
new ResizeObserver(() => isAtEnd && toEnd()).observe(log);
on($('more'), 'click', () => {
  toEnd();
  log.focus();
});

// ---- The connection ----

/// What stands at the end of the text without being a line: it is answered, not read.
const PROMPTS = ['> ', 'Name: ', 'Password: ', 'Yes or no: '];

let socket = null;
let awaits = ''; // What the engine awaits: see `Aqevia.Login`.
let isIn = false;
let farewell = ''; // Why the engine ends the session.
let isSilent = false; // Since it was asked whether it is alive.
let decoder, tail, style; // Of the text that comes.
let before = []; // Lines that came since something was sent, while one is not in.
let tries = 0;
let timer = 0;

function connect() {
  const url = new URL('ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const own = new WebSocket(url, 'gmcp.mudstandards.org');
  own.binaryType = 'arraybuffer';
  [socket, awaits, farewell, decoder, tail, style, before] = [own, '', '', new TextDecoder(), '', {}, []];
  isSilent = false;
  on(own, 'open', () => gmcp('Core.Hello', { client: 'Aqevia page', version: '1' }));
  on(own, 'message', ({ data }) => {
    if (own !== socket) return;
    isSilent = false;
    if (typeof data === 'string') take(data);
    else read(decoder.decode(data, { stream: true }));
    goOn();
  });
  on(own, 'close', ({ code }) => own === socket && lose(code));
}

const isOpen = () => socket?.readyState === WebSocket.OPEN;

function gmcp(name, value) {
  if (isOpen()) socket.send(value === undefined ? name : `${name} ${JSON.stringify(value)}`);
}

/// Sends one line, whatever it holds.
function send(line) {
  if (!isOpen()) return false;
  socket.send(new TextEncoder().encode(`${line.replace(/[\x00-\x1f\x7f]+/g, ' ')}\n`));
  // The answer begins a line of its own.
  [tail, before] = ['', []];
  return true;
}

/// Takes text: whole lines, and perhaps a prompt after them.
function read(text) {
  if (PROMPTS.includes(tail)) [tail, text] = ['', text.replace(/^\r?\n/, '')];
  const lines = (tail + text).split(/\r?\n/);
  tail = lines.pop().slice(-65_536);
  const elements = lines.map((line) => {
    const { pieces, style: after } = styled(line, style);
    style = after;
    // A password is shown in a place of its own, and stays nowhere else.
    const shown = (words) => (me?.password ? words.replaceAll(me.password, '••••') : words);
    const spans = pieces.map(({ text: words, classes }) => make('span', { className: classes, textContent: shown(words) }));
    const isTitle = pieces.length === 1 && pieces[0].classes === 'bold';
    return make('p', { className: isTitle ? 'title' : '' }, ...spans);
  });
  if (!isIn || elements.length === 0) return before.push(...elements);
  tell(...elements);
  // What is said first after a name was chosen is about that name; what others say later is not.
  if (isNaming) [, isNaming] = [put($('unfit'), textOf(elements)), false];
}

const textOf = (elements) => elements.map((element) => element.textContent).join(' ');

/// The connection has ended. One comes back by oneself, unless one was sent away.
function lose(code) {
  const wasIn = isIn;
  [socket, isIn, awaits] = [null, false, ''];
  if (wanted && !wanted.isReturn) return refuse(farewell || 'The world cannot be reached just now.');
  if (!wasIn && !wanted) return;
  if (code === 1000 || !me) return goOutside(farewell || 'The connection was lost.');
  if (wasIn) remark(`${farewell || 'The connection is lost.'} ${now()}`);
  wanted = { ...me, isReturn: true };
  const at = Date.now() + Math.min(PAUSE_MS_MAX, 1_000 * 2 ** tries++) * (0.75 + Math.random() / 2);
  $('lost').hidden = false;
  clearInterval(timer);
  timer = setInterval(() => {
    const seconds = Math.ceil((at - Date.now()) / 1_000);
    $('countdown').textContent = seconds > 0 ? `, in ${seconds} s` : ', now';
    if (seconds <= 0) tryAgain();
  }, 250);
}

function tryAgain() {
  clearInterval(timer);
  if (wanted?.isReturn && !socket) connect();
}

/// A connection that has gone without a word is noticed by its silence. How long that lasts is not asked: a page in the
/// background has its turn rarely.
function ping() {
  if (!socket) return;
  if (!isSilent) gmcp('Core.Ping');
  else {
    socket.close();
    lose(1006);
  }
  isSilent = true;
}
setInterval(ping, PING_MS);
on(window, 'online', tryAgain);
on($('retry'), 'click', tryAgain);

// ---- Coming in ----

let me = null; // With which name and password one comes back.
let wanted = null; // As whom one is coming in: `guest`, or `name` and `password`; and at which stage that is.
let name = ''; // Who one is.
let isGuest = false;
let isNaming = false; // A guest has just chosen a name.
let welcome = ''; // What a newcomer is told once they have seen where they are.

const hasGuestName = (name) => /\d$/.test(name); // No player's name ends in a number.

function comeIn(as) {
  wanted = as;
  put($('refusal'), '');
  if (!socket) connect();
  goOn();
}

/// Answers what is awaited, as far as that is known; called after everything that comes.
function goOn() {
  if (isIn && welcome && tail) [, welcome] = [remark(welcome), ''];
  if (isIn) return;
  if (!wanted) return greet();
  const isForgotten = wanted.isReturn && hasGuestName(wanted.name);
  const reason = isForgotten ? 'A guest is kept for 90 seconds, and not if the world starts anew.'
    : textOf(before).replace(/ ?Your name, (please|then)\./, '');
  if (awaits === 'name' && tail === 'Name: ') {
    // Asked for a name again: what was said in between is the reason.
    if (wanted.stage) return refuse(wanted.isReturn ? `You could not come back. ${reason}` : reason);
    wanted.stage = awaits;
    return send(wanted.guest ? 'guest' : wanted.name);
  }
  if (awaits === 'name' || awaits === wanted.stage) return;
  wanted.stage = awaits;
  if (awaits === 'turn') put($('refusal'), 'Many are coming in just now. A moment, please.');
  else if (awaits === 'confirmation' && wanted.isReturn) refuse('You were away for too long.');
  else if (awaits === 'confirmation') {
    $('newcomer').querySelector('b').textContent = wanted.name;
    ask($('newcomer'));
  } else if (awaits === 'password') {
    send(wanted.password);
    if (!wanted.password) refuse(`Somebody is called ${wanted.name} here. If it is you, give your password.`);
  }
}

/// What the world says to whoever comes: first its name, at last how many are there. Whoever only looks at the page does not
/// keep a place among those who come in.
function greet() {
  const lines = before.map((line) => line.textContent);
  if (!/^In the world: \d+$/.test(lines.at(-1))) return;
  entitle(lines[0]);
  $('crowd').textContent = lines.at(-1);
  socket.close();
  socket = null;
}

on($('newcomer'), 'close', () => {
  if (!wanted) return;
  send($('newcomer').returnValue === 'yes' ? 'yes' : 'no');
  if ($('newcomer').returnValue !== 'yes') refuse('');
});

/// One is in: everything that is seen from here on is the world's.
function enter() {
  const isBack = wanted?.isReturn ?? false;
  if (wanted?.name) me = { name: wanted.name, password: wanted.password, isKept: wanted.isKept };
  [isIn, wanted, tries, $('lost').hidden] = [true, null, 0, true];
  keep();
  showInside(true);
  if (isBack) remark(`You are back. ${now()}`);
  else welcome = 'Walk by the ways out, click on what is here, or type: look, say hello, help.';
  tell(...before);
  if (!isBack) line.focus();
}

/// Keeps who one is on this device, if that is wanted; of a guest only in this page, until it is closed.
function keep() {
  if (me?.isKept) store('me', { name: me.name, password: me.password });
  store('guest', me && hasGuestName(me.name) ? me : null, 'sessionStorage');
}

function refuse(words) {
  const { isReturn } = wanted;
  wanted = null;
  if (isReturn) return goOutside(words);
  put($('refusal'), words);
}

function goOutside(words) {
  clearInterval(timer);
  // Whoever comes in next has not been where one is now.
  [me, wanted, isIn, name, mapOf, known.info] = [null, {}, false, '', '', {}];
  keep();
  all('dialog[open]').forEach((dialog) => dialog.close());
  showInside(false);
  log.replaceChildren();
  toEnd();
  // Whoever sits here next need not see what was typed.
  [history.length, past, completion, line.value] = [0, 0, null, ''];
  offerReturn();
  refuse(words);
  $('guest').focus();
}

function showInside(isInside) {
  $('outside').hidden = isInside;
  $('inside').hidden = $('bar').hidden = !isInside;
}

/// Whoever has asked for it is known here.
function offerReturn() {
  const kept = stored('me');
  $('name').value = wordsOf(kept?.name);
  $('password').value = wordsOf(kept?.password);
  $('kept').checked = Boolean(kept);
}

on($('guest'), 'click', () => comeIn({ guest: true }));
on($('return'), 'submit', (event) => {
  event.preventDefault();
  comeIn({ name: $('name').value.trim(), password: $('password').value, isKept: $('kept').checked });
});
on($('kept'), 'change', () => $('kept').checked || store('me', null));
on($('leave'), 'click', () => send('quit') || goOutside(''));

/// Passwords can be read on the way where nothing keeps them secret.
if (location.protocol !== 'https:' && !/^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname)) {
  all('.insecure').forEach((warning) => (warning.hidden = false));
}

// ---- What the engine tells ----

const known = { room: [], inv: [], people: [], online: [], info: {}, exits: {} };

const messages = {
  'Aqevia.Login': (login) => {
    awaits = wordsOf(login.awaits);
    if (awaits === 'command' && !isIn) enter();
  },
  'Aqevia.Password': ({ name: whose, password }) => {
    me = { name: wordsOf(whose), password: wordsOf(password), isKept: (wanted ?? me)?.isKept };
    if (wanted) Object.assign(wanted, me);
    keep();
    if (!hasGuestName(me.name)) showPassword();
  },
  'Char.Name': (one) => {
    [name, isGuest] = [wordsOf(one.name), one.guest === true];
    $('self').textContent = isGuest ? `${name}, a guest` : name;
    $('keep').hidden = !isGuest;
    chart();
    askWhoIsOnline();
  },
  'Room.Info': (info) => {
    known.info = info;
    known.exits = isObject(info.exits) ? Object.fromEntries(Object.entries(info.exits).slice(0, LISTED_MAX)) : {};
    entitle(wordsOf(info.area));
    showWays();
    chart();
  },
  'Char.Items.List': ({ location: place, items }) => {
    if (place === 'room' || place === 'inv') known[place] = objectsOf(items);
    showItems();
  },
  'Room.Players': (people) => {
    known.people = objectsOf(people);
    showItems();
  },
  'Comm.Channel.Text': () => document.hidden && entitle(world, unread + 1),
  'Comm.Channel.Players': (people) => {
    known.online = objectsOf(people);
    const listed = ({ name: whose, away }) => (whose === name ? { name, note: 'you' }
      : { name: whose, note: away === true ? 'away' : '', do: [`tell ${wordsOf(whose)} `] });
    fill($('online'), known.online.map(listed));
  },
  'Core.Goodbye': (words) => (farewell = wordsOf(words)),
};

function take(text) {
  const [head] = text.split(' ', 1);
  let value = null;
  try {
    value = JSON.parse(text.slice(head.length));
  } catch { /* It says nothing. */ }
  if (value !== null && Object.hasOwn(messages, head)) messages[head](value);
}

const askWhoIsOnline = () => isIn && !document.hidden && gmcp('Comm.Channel.Players');
setInterval(askWhoIsOnline, PLAYERS_MS);

let world = '';
let unread = 0;

/// The page bears the name of the world, and how much was said while nobody looked.
function entitle(title, count = unread) {
  [world, unread] = [title || world, count];
  document.title = (unread > 0 ? `(${unread}) ` : '') + (world || document.title);
  if (world) all('.world').forEach((heading) => (heading.textContent = world));
}

on(document, 'visibilitychange', () => {
  if (document.hidden) return;
  entitle(world, 0);
  tryAgain();
});

// ---- Around one ----

const COMPASS = [['nw', 'northwest'], ['n', 'north'], ['ne', 'northeast'], ['u', 'up'], ['w', 'west'], [], ['e', 'east'], [],
  ['sw', 'southwest'], ['s', 'south'], ['se', 'southeast'], ['d', 'down']];

/// Does a line, as if it had been typed; one that wants more words is offered for them.
function act(words) {
  if (words.endsWith(' ')) {
    [line.value, completion] = [words, null];
    return line.focus();
  }
  if (!isIn || !send(words)) return;
  // One knows what one has done, so it is not read aloud.
  tell(make('p', { className: 'echo', textContent: words, ariaHidden: 'true' }));
  toEnd();
}

function button(label, words) {
  const element = make('button', { type: 'button', textContent: label });
  on(element, 'click', () => act(words));
  if (label !== words) element.ariaLabel = words.endsWith(' ') ? `${words}…` : words;
  return element;
}

$('compass').append(...COMPASS.map(([value, way]) => (way ? make('button', { type: 'button', value, textContent: way }) : '')
  || make('span')));
on($('compass'), 'click', ({ target }) => Object.hasOwn(known.exits, target.value) && act(target.value));

function showWays() {
  $('room').textContent = wordsOf(known.info.name);
  // A way that is not there keeps its place, so that the others keep theirs, and the focus if it has it.
  for (const way of all('#compass button')) {
    way.ariaDisabled = String(!Object.hasOwn(known.exits, way.value));
    way.tabIndex = way.ariaDisabled === 'true' ? -1 : 0;
  }
  const gates = Object.keys(known.exits).filter((key) => !COMPASS.some(([value]) => value === key));
  keepingFocus($('gates'), () => $('gates').replaceChildren(...gates.map((gate) => button(gate, gate))));
}

function showItems() {
  const people = known.people.map((one) => ({ ...one, kind: 'person' }));
  const isCreature = ({ attrib }) => wordsOf(attrib).includes('m');
  fill($('here'), [...people, ...known.room.filter(isCreature), ...known.room.filter((item) => !isCreature(item))]);
  fill($('carried'), known.inv);
}

/// Lists what there is, each with what can be done with it. What was there before stays the element that it was.
function fill(section, items) {
  const list = section.querySelector('ul');
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const wanted = items.map((item) => rows.get(JSON.stringify(item)) ?? row(item));
  section.classList.toggle('some', wanted.length > 0);
  const isSame = wanted.length === list.children.length && wanted.every((row, place) => row === list.children[place]);
  if (!isSame) keepingFocus(list, () => list.replaceChildren(...wanted));
}

function row(item) {
  const [label, [first, ...others]] = [wordsOf(item.name), listOf(item.do).map(wordsOf)];
  // A click on the name does the first line; of what else can be done, what stands before the name says enough.
  const short = (words) => words.slice(0, words.lastIndexOf(label)).trim() + (words.endsWith(' ') ? '…' : '');
  const element = make('li', { className: wordsOf(item.kind) }, first ? button(label, first) : make('span', {}, label));
  element.append(...others.map((words) => button(short(words), words)), ...(item.note ? [make('i', {}, item.note)] : []));
  element.dataset.key = JSON.stringify(item);
  return element;
}

/// Whoever is at a button that goes away is at the next one then.
function keepingFocus(list, change) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = [...list.children].findIndex((child) => child.contains(focused));
  change();
  if (!focused) return;
  const next = list.contains(focused) ? focused : list.children[Math.min(place, list.children.length - 1)];
  (next?.matches('button') ? next : next?.querySelector('button') ?? line).focus();
}

// ---- The map ----

/// Without a prototype: a way may be called as what stands there.
const STEPS = { __proto__: null, n: [0, -1, 0], ne: [1, -1, 0], e: [1, 0, 0], se: [1, 1, 0], s: [0, 1, 0], sw: [-1, 1, 0],
  w: [-1, 0, 0], nw: [-1, -1, 0], u: [0, 0, 1], d: [0, 0, -1] };
const ASIDE = [1, 1, 0]; // Where a way leads that is no direction.
const REACH = 1.2; // How many places around one the small map shows.

let rooms = new Map(); // By number, those that were visited last at the end.
let mapOf = ''; // Whose map that is.

/// Puts the place where one is on the map of whoever one is. A guest who has become somebody takes theirs along.
function chart() {
  const { num, name: label } = known.info;
  if (!Number.isFinite(num) || !name) return;
  const owner = `map ${world} ${isGuest ? 'a guest' : name}`;
  if (owner !== mapOf) {
    const isPlace = (at) => Array.isArray(at) && at.length === 3 && at.every(Number.isSafeInteger);
    const isRoom = (entry) => isPlace(entry?.[1]?.at) && isObject(entry[1].exits) && typeof entry[1].name === 'string';
    const kept = stored(owner);
    if (kept || !mapOf) rooms = new Map(Array.isArray(kept) && kept.every(isRoom) ? kept : []);
    mapOf = owner;
  }
  const at = rooms.get(num)?.at ?? freePlace(num);
  rooms.delete(num);
  rooms.set(num, { name: wordsOf(label).slice(0, 80), at, exits: known.exits });
  if (rooms.size > ROOMS_MAX) rooms.delete(rooms.keys().next().value);
  drawMap($('map'), rooms.get(num), REACH);
  // Of the maps that are kept, those that were used last stay.
  const owners = [...listOf(stored('maps')).filter((other) => other !== owner), owner];
  owners.splice(0, owners.length - MAPS_MAX).forEach((other) => store(String(other), null));
  store('maps', owners);
  store(owner, [...rooms]);
}

/// A step away from a place that leads there, the last one first; of a place that nothing leads to, far off.
function freePlace(num) {
  const known = [...rooms.values()].reverse();
  const isTaken = (place) => known.some((room) => String(room.at) === String(place));
  const from = known.find((room) => Object.values(room.exits).includes(num));
  const step = STEPS[Object.keys(from?.exits ?? {}).find((key) => from.exits[key] === num && STEPS[key])] ?? ASIDE;
  let place = from?.at ?? [Math.max(0, ...known.map((room) => room.at[0] + 2)), 0, 0];
  do place = place.map((value, axis) => value + step[axis]); while (isTaken(place));
  return place;
}

/// Draws the storey where one is, as far as `reach` places around one, or all of it.
function drawMap(target, here, reach = Infinity) {
  const [WIDE, HIGH] = [102, 54];
  const isNear = ({ at }) => at[2] === here.at[2] && [0, 1].every((axis) => Math.abs(at[axis] - here.at[axis]) <= reach + 1);
  const shown = [...rooms.values()].filter(isNear);
  const [ways, boxes] = [[], []];
  for (const room of shown) {
    const [x, y] = [room.at[0] * WIDE, room.at[1] * HIGH];
    for (const [key, num] of Object.entries(room.exits)) {
      const [to, step] = [rooms.get(num), STEPS[key]];
      const isKnown = to?.at[2] === here.at[2];
      if (!isKnown && (to || step?.[2] !== 0)) continue;
      const [toX, toY] = isKnown ? to.at : [room.at[0] + step[0] * 0.6, room.at[1] + step[1] * 0.7];
      ways.push(draw('line', { x1: x, y1: y, x2: toX * WIDE, y2: toY * HIGH, class: isKnown ? 'way' : 'way unknown' }));
    }
    const lines = inTwo(room.name);
    const spans = lines.map((words, place) => draw('tspan', { x, y: y + 4 + 12 * (place - (lines.length - 1) / 2) }, words));
    const stairs = ('u' in room.exits ? '▲' : '') + ('d' in room.exits ? '▼' : '');
    boxes.push(draw('g', { class: room === here ? 'box here' : 'box' }, draw('title', {}, room.name),
      draw('rect', { x: x - 43, y: y - 18, width: 86, height: 36, rx: 6 }), draw('text', {}, ...spans),
      draw('text', { x: x + 36, y: y - 10, class: 'stairs' }, stairs)));
  }
  const span = (axis, unit) => {
    const places = reach < Infinity ? [here.at[axis] - reach, here.at[axis] + reach] : shown.map((room) => room.at[axis]);
    const [from, to] = [Math.min(...places) - 0.6, Math.max(...places) + 0.6];
    return [from * unit, (to - from) * unit];
  };
  const [[left, width], [top, height]] = [span(0, WIDE), span(1, HIGH)];
  const label = `Map. You are in ${here.name}; you have been in ${rooms.size === 1 ? 'this place' : `${rooms.size} places`}.`;
  const svg = { viewBox: `${left} ${top} ${width} ${height}`, role: 'img', 'aria-label': label };
  target.replaceChildren(draw('svg', svg, ...ways, ...boxes));
}

/// A name in two lines that are about as long, if it is too long for one.
function inTwo(text) {
  const far = ({ index }) => Math.abs(index - text.length / 2);
  const gap = text.length < 12 ? null : [...text.matchAll(/ /g)].sort((one, other) => far(one) - far(other))[0];
  const lines = gap ? [text.slice(0, gap.index), text.slice(gap.index + 1)] : [text];
  return lines.map((words) => (words.length > 13 ? `${[...words].slice(0, 12).join('')}…` : words));
}

on($('enlarge'), 'click', () => {
  if (rooms.has(known.info.num)) drawMap($('atlas'), rooms.get(known.info.num));
  ask($('whole'));
});

// ---- What one types ----

/// The words of commands, for completion; `src/session/commands.rs` has what they do.
const COMMANDS = ('look examine exits inventory time weather who get take drop put give say whisper tell reply emote shout '
  + 'history ignore follow score title alias unalias description brief prompt colour color width screenreader keepalive password register help commands quit '
  + 'north east south west up down northeast northwest southeast southwest in out go walk enter sit rest stand').split(' ');

const line = $('line');
const history = [];
let past = 0; // How far back in it one is.
let draft = '';
let completion = null; // What is tried for a word, and the how manieth; without `found`, nothing until something is typed.

on($('typing'), 'submit', (event) => {
  event.preventDefault();
  const words = line.value.trim();
  if (!isIn || !words) return;
  act(words);
  if (history.at(-1) !== words) history.push(words);
  if (history.length > HISTORY_MAX) history.shift();
  [line.value, past, completion] = ['', 0, null];
  hint();
});

on(line, 'input', () => {
  [completion, past] = [null, 0];
  hint();
});

on(line, 'keydown', (event) => {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
    if (past === 0) draft = line.value;
    past = Math.min(Math.max(past + (event.key === 'ArrowUp' ? 1 : -1), 0), history.length);
    [line.value, completion] = [past > 0 ? history.at(-past) : draft, null];
    event.preventDefault();
  } else if (event.key === 'Tab' && !event.shiftKey && complete()) {
    event.preventDefault();
  } else if (event.key === 'Escape') {
    if (completion?.found) line.value = completion.text;
    completion = {};
    hint();
  }
});

/// Puts in the next word that goes on as what stands there. False: there is no other, and the key does what it does elsewhere.
function complete() {
  completion ??= completions(line.value);
  const { text, start, found = [] } = completion;
  const tried = completion.at++;
  if (!(tried < found.length)) completion = {};
  else line.value = text.slice(0, start) + found[tried];
  hint(found.length > 1 ? found.slice(tried, tried + 4) : []);
  return tried < found.length;
}

function completions(text) {
  const things = [known.room, known.inv, known.people, known.online].flat().map((one) => wordsOf(one.name));
  const names = things.flatMap((words) => [words.replace(/^(an?|the|some) /i, ''), words]);
  const ways = Object.keys(known.exits);
  for (const { index: start } of text.matchAll(/(?<=^|\s)\S/g)) {
    const stem = text.slice(start).toLowerCase();
    const words = text.slice(0, start).trim() ? [...names, ...ways] : [...COMMANDS, ...ways, ...names];
    const found = words.filter((word) => word.length > stem.length && word.toLowerCase().startsWith(stem));
    if (found.length > 0) return { text, start, found: [...new Set(found)], at: 0 };
  }
  return {};
}

const hint = (words = []) => ($('hint').textContent = words.join(' · '));

all('#quick button').forEach((quick) => on(quick, 'click', () => act(quick.value)));

// Whoever begins to type anywhere types there.
on(document, 'keydown', (event) => {
  const isWord = event.key.length === 1 && event.key !== ' ' && !event.ctrlKey && !event.altKey && !event.metaKey;
  if (isWord && isIn && !document.querySelector('dialog[open]')) line.focus();
});

// ---- Dialogs ----

function ask(dialog) {
  dialog.returnValue = '';
  if (!dialog.open) dialog.showModal();
}

on($('keep'), 'click', () => {
  put($('unfit'), '');
  ask($('naming'));
});
on($('not-now'), 'click', () => $('naming').close());
on($('naming'), 'submit', (event) => {
  event.preventDefault();
  isNaming = true;
  act(`register ${$('chosen').value}`);
});

function showPassword() {
  $('naming').close();
  $('issued-name').value = me.name;
  [$('issued-password').type, $('issued-password').value] = ['text', me.password];
  $('issued-kept').checked = me.isKept;
  $('copy').textContent = 'Copy it';
  ask($('issued'));
}

on($('copy'), 'click', async () => {
  $('issued-password').select();
  // Where a page is not trusted with the clipboard, the selection is copied in the old way.
  const isCopied = await navigator.clipboard?.writeText(me.password).then(() => true, () => false);
  $('copy').textContent = isCopied || document.execCommand('copy') ? 'Copied' : 'It is selected: copy it by hand';
});

on($('issued-kept'), 'change', () => {
  me.isKept = $('issued-kept').checked;
  if (!me.isKept && stored('me')?.name === me.name) store('me', null);
  keep();
});
on($('issued'), 'submit', () => {
  // As a password it is what the browser offers to keep.
  $('issued-password').type = 'password';
  const { name: id, password } = me;
  if (window.PasswordCredential) navigator.credentials.store(new PasswordCredential({ id, password })).catch(() => {});
});
on($('issued'), 'close', () => {
  $('issued-password').value = '';
  line.focus();
});

// ---- Display ----

const CHOICES = ['theme', 'contrast', 'size'];

function showAsChosen() {
  const chosen = stored('display');
  for (const choice of CHOICES) {
    $(choice).value = wordsOf(chosen?.[choice]);
    if ($(choice).selectedIndex < 0) $(choice).value = '';
    document.documentElement.dataset[choice] = $(choice).value;
  }
}

on($('displaying'), 'change', () => {
  store('display', Object.fromEntries(CHOICES.map((choice) => [choice, $(choice).value])));
  showAsChosen();
});
all('.display').forEach((button) => on(button, 'click', () => ask($('displaying'))));

// On a narrow screen one part is shown at a time.
on($('tabs'), 'click', ({ target: { value } }) => {
  if (!value) return;
  all('#tabs button').forEach((tab) => (tab.ariaPressed = String(tab.value === value)));
  all('#panels section').forEach((part) => part.classList.toggle('open', part.id === value));
  askWhoIsOnline();
});

showAsChosen();
offerReturn();
const guest = stored('guest', 'sessionStorage');
if (guest) {
  me = { name: wordsOf(guest.name), password: wordsOf(guest.password) };
  comeIn({ ...me, isReturn: true });
} else connect();
