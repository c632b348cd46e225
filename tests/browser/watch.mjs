// The operators' page: what it shows of an engine that is well, that cannot store, that is gone and that is back.

import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { connect } from 'node:net';

import { Engine, Way, atTheEnd, waitFor } from './browser.mjs';

const HOSTILE = '<img src=x onerror=alert(1)>';
const WORLD = `{
  id: "small", name: "A Small ${HOSTILE} World",
  rooms: {
    yard: { name: "The Yard", description: "Gravel.", exits: { north: "barn", east: "lane", constructor: "pit" } },
    barn: { name: "The ${HOSTILE} Barn", description: "Straw.", exits: { south: "yard" } },
    lane: { name: "The Lane", description: "Mud.", exits: { west: "yard", gate: { locked: true } } },
    pit: { name: "The Pit", description: "Dark.", exits: { up: "yard" } },
  },
  creatures: { hen: { name: "a hen", description: "Brown.", in: "barn" } },
}`;

/// What the console says of requests that come to nothing, which is what this scenario does.
const CUT = [/Failed to load resource: net::ERR_/];

const figure = (page, name) => page.locator('dt', { hasText: name }).locator('xpath=following-sibling::dd[1]');
const number = async (page, name) => Number((await figure(page, name).textContent()).replace(/\D/g, ''));
const says = (page, state) => page.locator('#state', { hasText: state }).waitFor();
const room = (page, name) => page.locator('#rooms .room', { has: page.locator('title', { hasText: name }) });
/// The map is asked for at once.
const asks = (page) => page.evaluate(() => watchMap());
const isAsWideAs = async (page) => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);

export default async function watch(browser) {
  const engine = await Engine.start({ world: WORLD });
  const way = await Way.to(engine.observability);
  const page = await browser.open(way.url, { expected: CUT });
  await isWell(browser, page);
  await drawsTheWorld(page, engine);
  await movesTheMap(page);
  await drawsWhateverComes(page);
  await readsTheRooms(browser, page);
  await tellsOfTrouble(browser, page, engine);
  await missesTheEngine(browser, page, engine, way);
  await fitsAPhone(browser, way);
}

async function isWell(browser, page) {
  await says(page, 'Up and ready');
  await page.getByRole('heading', { name: `A Small ${HOSTILE} World` }).waitFor();
  const tick = await number(page, /^Tick$/);
  await waitFor('the tick to move', async () => (await number(page, /^Tick$/)) > tick);
  await waitFor('a flush', async () => /for commit and sync/.test(await figure(page, 'It took').textContent()));
  await page.locator('#strip-text', { hasText: ' late in ' }).waitFor();
  assert.match(await page.locator('#strip-good').getAttribute('d'), /^M/);
  assert.equal(await figure(page, 'Last error').textContent(), 'none');
  assert.match(await figure(page, 'Connections').textContent(), /^\d+ by http, 0 by telnet/);
  await browser.audit(page, 'well');
}

async function drawsTheWorld(page, engine) {
  await page.locator('#map-text', { hasText: '4 rooms and 7 exits.' }).waitFor();
  const place = async (name) => room(page, name).boundingBox();
  const [yard, barn, lane, pit] = [await place('The Yard'), await place(HOSTILE), await place('The Lane'), await place('The Pit')];
  assert.ok(barn.y + barn.height < yard.y && Math.abs(barn.x - yard.x) < 2, 'north is up');
  assert.ok(lane.x > yard.x + yard.width && Math.abs(lane.y - yard.y) < 20, 'east is right');
  assert.ok([yard, barn, lane].every((other) => Math.abs(other.x - pit.x) > 50 || Math.abs(other.y - pit.y) > 30), 'a place of its own');
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await room(page, HOSTILE).locator('.badge').textContent(), '◆ 1');
  // Somebody comes in: that is shown, but not who, and nothing is drawn anew.
  await page.evaluate(() => (document.querySelector('#rooms .room').id = 'kept'));
  const visitor = connect(Number(engine.telnet.split(':')[1]), '127.0.0.1', () => visitor.write('guest\r\n'));
  visitor.on('error', () => {}).resume();
  atTheEnd(() => visitor.destroy());
  await waitFor('somebody in the yard', async () => {
    await asks(page);
    return (await room(page, 'The Yard').locator('.badge').allTextContents())[0] === '▲ 1';
  });
  await page.locator('dd', { hasText: '1 of 1 player' }).waitFor();
  assert.equal(await page.locator('#kept').count(), 1);
  assert.ok(!(await page.content()).includes('Guest'));
}

async function movesTheMap(page) {
  const transform = () => page.locator('#view').getAttribute('transform');
  const whole = await transform();
  const changes = async (what, act) => {
    const before = await transform();
    await act();
    await waitFor(what, async () => (await transform()) !== before);
  };
  await page.focus('#map');
  for (const key of ['+', '-', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']) await changes(key, () => page.keyboard.press(key));
  for (const button of ['Closer', 'Farther']) await changes(button, () => page.getByRole('button', { name: button }).click());
  const { x, y } = await page.locator('#map').boundingBox();
  await page.mouse.move(x + 50, y + 50);
  await changes('the wheel', () => page.mouse.wheel(0, -100));
  await page.mouse.down();
  await changes('a drag', () => page.mouse.move(x + 90, y + 60));
  await page.mouse.up();
  await changes('what is whole again', () => page.keyboard.press('0'));
  assert.equal(await transform(), whole);
  // From afar names could not be read.
  for (let step = 0; step < 12; step++) await page.keyboard.press('-');
  assert.ok(!(await room(page, 'The Yard').locator('text').first().isVisible()));
  await page.getByRole('button', { name: 'Whole map' }).click();
  assert.ok(await room(page, 'The Yard').locator('text').first().isVisible());
}

/// Worlds of other shapes: no two rooms in one place, and where that can be each way as its compass has it.
async function drawsWhateverComes(page) {
  const [side, maze] = [32, 500];
  const rooms = (count) => Array.from({ length: count }, (_, id) => ({ id, name: `Room ${id}` }));
  const grid = rooms(side * side).flatMap(({ id }) => [
    ...(id % side ? [{ from: id, to: id - 1, name: 'west' }, { from: id - 1, to: id, name: 'east' }] : []),
    ...(id >= side ? [{ from: id, to: id - side, name: 'north' }, { from: id - side, to: id, name: 'south' }] : []),
  ]);
  const names = ['north', 'east', 'southwest', 'up', 'hatch'];
  const twisted = rooms(maze).map(({ id }) => ({ from: id, to: (id * id * 7 + 3) % maze, name: names[id % names.length] }));
  // All round it, so that east of the last is the first.
  const wrapped = rooms(side).map(({ id }) => ({ from: id * side + side - 1, to: id * side, name: 'east' }));
  const lay = async (count, exits) => new Map(await page.evaluate((map) => [...layOut(map)], { rooms: rooms(count), exits }));
  for (const [count, exits] of [[side * side, grid], [side * side, [...grid, ...wrapped]], [maze, twisted], [3, []], [1, [{ from: 0, to: 0, name: 'out' }]]]) {
    const places = await lay(count, exits);
    assert.equal(new Set([...places.values()].map(String)).size, count);
    for (const { from, to, name } of exits === twisted ? [] : exits.filter((exit) => exit.from !== exit.to && !wrapped.includes(exit))) {
      const step = { north: '0,-1', east: '1,0', south: '0,1', west: '-1,0' }[name];
      assert.equal(String(places.get(to).map((part, axis) => part - places.get(from)[axis])), step, `${from} ${name} ${to}`);
    }
  }
  // No letter is cut in two.
  assert.deepEqual(await page.evaluate(() => broken('\u{1f409}'.repeat(20))), [`${'\u{1f409}'.repeat(17)}…`]);
  // Of a world that is too large it says so; while one is loaded nothing is shown of it.
  const text = await page.evaluate(() => {
    showMap({ rooms: [{ id: 1, name: 'A' }], exits: [], inhabited: [], rooms_total: 2600, exits_total: 9000 });
    return document.getElementById('map-text').textContent;
  });
  assert.equal(text, '2,600 rooms and 9,000 exits, too many for a map: here are the first 1 rooms.');
  const loading = await page.evaluate(async () => {
    const status = await (await fetch('status')).json();
    const unready = { reason: 'loading: 7 entities so far', since: '2026-01-01T00:00:00Z', seconds: 3 };
    show({ ...status, ready: false, unready, world: null });
    return ['name', 'state', 'why', 'world'].map((id) => document.getElementById(id).textContent);
  });
  assert.match(loading.join('|'), /^Aqevia Engine\|… Up, and loading the World\|Since .*, for 3 s: loading: 7 entities so far\|Time thereWeatherP/);
  // Of a World that was rescued it says how to put it in place.
  const rescue = await page.evaluate(async () => {
    const status = await (await fetch('status')).json();
    show({ ...status, storage: { ...status.storage, rescued: { path: '/x', tick: 5, command: "mv '/x' '/y'" } } });
    return document.querySelector('dd.wrong').textContent;
  });
  assert.equal(rescue, "✕ of tick 5, to be put in place. Stop the engine, then: mv '/x' '/y'");
  await asks(page);
  await room(page, 'The Yard').waitFor();
}

async function readsTheRooms(browser, page) {
  await page.click('#list summary');
  await page.locator('#entries li', { hasText: `The ${HOSTILE} Barn 1 creature, 0 people; south to The Yard` }).waitFor();
  await page.locator('#entries li', { hasText: 'gate leads to nothing on this map (locked)' }).waitFor();
  await browser.audit(page, 'with its list');
  await page.locator('#entries button', { hasText: 'The Lane' }).click();
  assert.equal(await page.locator('.found title').textContent(), 'The Lane');
  await page.click('#list summary');
}

async function tellsOfTrouble(browser, page, engine) {
  const database = engine.variables.AQEVIA_SQLITE_PATH;
  await rename(database, `${database}-away`);
  await says(page, 'Up, but not ready');
  await page.locator('#why', { hasText: /^Since .*, for \d+ s: .*it has gone: put it back/ }).waitFor();
  await page.locator('dd.wrong', { hasText: 'it has gone' }).waitFor();
  assert.match(await figure(page, 'Pending').textContent(), /^\d+ records?/);
  assert.match(await page.title(), /^✕ A Small/);
  await browser.audit(page, 'in trouble');
  await rename(`${database}-away`, database);
  await says(page, 'Up and ready');
  assert.equal(await figure(page, 'Last error').textContent(), 'none');
}

async function missesTheEngine(browser, page, engine, way) {
  way.cut();
  await engine.stop('SIGKILL');
  await says(page, 'No answer');
  await page.locator('#why', { hasText: /^Since .*The figures below are the last ones it gave\.$/ }).waitFor();
  const [tick, uptime] = [await number(page, /^Tick$/), await figure(page, 'Up for').textContent()];
  assert.ok(tick > 0 && /s$/.test(uptime), 'the last figures stay');
  await page.locator('main.stale').waitFor();
  await browser.audit(page, 'without an engine');
  await engine.begin();
  way.leadsTo(engine.observability);
  await says(page, 'Up and ready');
  assert.equal(await page.locator('.stale').count(), 0);
  await waitFor('its life to go on', async () => (await number(page, /^Tick$/)) > tick);
  await asks(page);
  await room(page, HOSTILE).waitFor();
}

async function fitsAPhone(browser, way) {
  const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme: 'dark', reducedMotion: 'reduce' };
  const page = await browser.open(way.url, phone);
  await says(page, 'Up and ready');
  await room(page, 'The Yard').waitFor();
  await isAsWideAs(page);
  await browser.audit(page, 'dark, on a phone');
}
