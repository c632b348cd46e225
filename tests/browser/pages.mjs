// Takes pictures of the pages for people to look at, into the folder that AQEVIA_PAGES names: `make pages`.

import { mkdirSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';

import { Engine, Way } from './browser.mjs';

const LOOKS = {
  light: {},
  dark: { colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

export default async function pages(browser) {
  mkdirSync(process.env.AQEVIA_PAGES, { recursive: true });
  const engine = await Engine.start();
  const large = await Engine.start({ world: town() });
  for (const [look, context] of Object.entries(LOOKS)) {
    const shoot = (page, state) => page.screenshot({ path: join(process.env.AQEVIA_PAGES, `${state}-${look}.png`) });
    await play(browser, engine, context, shoot);
    await watch(browser, engine, large, context, (page, state) =>
      page.screenshot({ path: join(process.env.AQEVIA_PAGES, `${state}-${look}.png`), fullPage: true }));
  }
}

/// The operators' page: an engine that is well, one with a large world, one that cannot store, and one that is gone.
async function watch(browser, engine, large, context, shoot) {
  const page = await browser.open(`http://${large.observability}/`, context);
  await page.locator('#map-text', { hasText: 'rooms' }).waitFor();
  await shoot(page, 'watch-large');
  for (let step = 0; step < 8; step++) await page.click('#closer');
  await shoot(page, 'watch-large-closer');
  await page.close();
  const way = await Way.to(engine.observability);
  const well = await browser.open(way.url, { ...context, expected: [/Failed to load resource: net::ERR_/] });
  const says = (state) => well.locator('#state', { hasText: state }).waitFor();
  await says('Up and ready');
  await well.locator('#map-text', { hasText: 'rooms' }).waitFor();
  await shoot(well, 'watch-well');
  const database = engine.variables.AQEVIA_SQLITE_PATH;
  await rename(database, `${database}-away`);
  await says('not ready');
  await shoot(well, 'watch-failing');
  await rename(`${database}-away`, database);
  await says('Up and ready');
  way.cut();
  await says('No answer');
  await shoot(well, 'watch-gone');
}

/// A world of a thousand rooms: streets with gaps, houses at some of them, some with a floor above.
function town() {
  let seed = 7;
  const chance = (part) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31 < part;
  const rooms = new Map();
  const side = 30;
  for (let at = 0; at < side * side; at++) if (chance(0.9)) rooms.set(`r${at}`, { name: `Street ${at}`, exits: {} });
  const join = (from, name, to, back) => {
    if (!rooms.has(to)) return;
    rooms.get(from).exits[name] = to;
    rooms.get(to).exits[back] = from;
  };
  for (const room of [...rooms.keys()]) {
    const at = Number(room.slice(1));
    if ((at + 1) % side && chance(0.85)) join(room, 'east', `r${at + 1}`, 'west');
    if (chance(0.85)) join(room, 'south', `r${at + side}`, 'north');
    if (chance(0.85)) continue;
    rooms.set(`h${at}`, { name: `A house in Street ${at}`, exits: {} });
    join(room, 'door', `h${at}`, 'out');
    if (chance(0.5)) continue;
    rooms.set(`u${at}`, { name: 'Upstairs', exits: {} });
    join(`h${at}`, 'up', `u${at}`, 'down');
  }
  const described = [...rooms].map(([tag, room]) => [tag, { ...room, description: 'A place.' }]);
  const rat = { name: 'a rat', description: 'Grey.', habits: { wander: { every_minutes: 1 } } };
  const rats = [...rooms.keys()].filter(() => chance(0.2)).map((tag) => [`rat_${tag}`, { prototype: 'rat', in: tag }]);
  const creatures = Object.fromEntries([['rat', rat], ...rats]);
  return JSON.stringify({ id: 'town', name: 'A Town of a Thousand Rooms', rooms: Object.fromEntries(described), creatures });
}

/// The page to play on: before one comes in, in the World, keeping a name, and without a connection.
async function play(browser, engine, context, shoot) {
  const way = await Way.to(engine.web);
  const page = await browser.open(way.url, { ...context, expected: [/WebSocket connection to .* failed/] });
  const room = (name) => page.locator('#room', { hasText: name }).waitFor();
  await page.getByText('In the world:').waitFor();
  await shoot(page, 'play-outside');
  await page.click('#guest');
  await room('The Landward Gate');
  await shoot(page, 'play-begun');
  for (const [line, name] of [['e', 'The Causeway'], ['u', 'The Refuge'], ['get blanket from locker'], ['d', 'The Causeway'],
    ['e', 'The Toll Bar'], ['n', 'The Toll House'], ['s', 'The Toll Bar'], ['e', 'Staithe Street'], ['e', 'The Net Green'],
    ['n', "Founders' Lane"], ['s', 'The Net Green'], ["say Is anybody here? I'm new."]]) {
    await page.fill('#line', line);
    await page.press('#line', 'Enter');
    if (name) await room(name);
  }
  await page.locator('#log', { hasText: 'You say' }).waitFor();
  await shoot(page, 'play-inside');
  for (const tab of await page.locator('#tabs button:visible').all()) {
    await tab.click();
    await shoot(page, `play-${await tab.getAttribute('value')}`);
  }
  await page.locator('#tabs button:visible', { hasText: 'Map' }).click({ timeout: 500 }).catch(() => {});
  await page.click('#enlarge');
  await shoot(page, 'play-map');
  await page.keyboard.press('Escape');
  await page.click('#keep');
  await shoot(page, 'play-naming');
  await page.fill('#chosen', `Anna${context.colorScheme ?? (context.isMobile ? 'phone' : 'light')}`);
  await page.press('#chosen', 'Enter');
  await page.locator('#issued').waitFor();
  await shoot(page, 'play-password');
  await page.click('#issued .main');
  await page.click('#bar .display');
  await shoot(page, 'play-display');
  await page.keyboard.press('Escape');
  way.cut();
  await page.locator('#lost').waitFor();
  await shoot(page, 'play-reconnecting');
}
