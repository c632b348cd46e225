// Takes pictures of the pages for people to look at, into the folder that AQEVIA_PAGES names: `make pages`.

import { mkdirSync } from 'node:fs';
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
  for (const [look, context] of Object.entries(LOOKS)) {
    const shoot = (page, state) => page.screenshot({ path: join(process.env.AQEVIA_PAGES, `${state}-${look}.png`) });
    await play(browser, engine, context, shoot);
  }
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
