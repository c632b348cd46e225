// Somebody who knows nothing opens the page to play on, and what may happen to them there.

import assert from 'node:assert/strict';
import { connect } from 'node:net';

import { Engine, Way, atTheEnd, waitFor } from './browser.mjs';

const WORLD = `{
  id: "small", name: "A Small World",
  rooms: {
    yard: { name: "The Yard", description: "Gravel.", exits: { north: "barn", east: "lane", constructor: "barn" } },
    barn: { name: "The Barn", description: "Straw.", indoors: true, exits: { south: "yard" } },
    lane: { name: "The Lane", description: "Mud.", exits: { west: "yard" } },
  },
  things: {
    bucket: { name: "a bucket", description: "Tin.", in: "yard" },
    chest: { name: "an oak chest", description: "Oak.", in: "yard", fixed: true, container: true },
  },
  creatures: { hen: { name: "a hen", description: "Brown.", in: "yard" } },
}`;

/// What the console says of a connection that is cut, which is what these scenarios do.
const CUT = [/WebSocket connection to .* failed/];
const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, colorScheme: 'dark' };

/// Somebody who has come by telnet.
class Telnet {
  static async guest(engine) {
    const [host, port] = engine.telnet.split(':');
    const visitor = new Telnet();
    visitor.text = '';
    visitor.socket = connect(Number(port), host, () => visitor.types('guest')).setEncoding('latin1');
    visitor.socket.on('data', (text) => (visitor.text += text)).on('error', () => {});
    atTheEnd(() => visitor.socket.destroy());
    await visitor.reads('Exits: ');
    return visitor;
  }

  types(line) {
    this.socket.write(`${line}\r\n`);
  }

  async reads(words) {
    await waitFor(`${words} by telnet`, () => this.text.includes(words));
  }
}

const logs = (page, words) => page.locator('#log p', { hasText: words }).last().waitFor();
const types = async (page, line) => {
  await page.fill('#line', line);
  await page.press('#line', 'Enter');
};
const boxOf = (page, name) => page.locator('#map .box', { has: page.locator('title', { hasText: name }) }).locator('rect').boundingBox();
const focused = (page) => page.evaluate(() => document.activeElement.id || document.activeElement.ariaLabel);
const isAsWideAs = async (page) => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), 0);

export default async function play(browser) {
  const engine = await Engine.start({ world: WORLD });
  const way = await Way.to(engine.web);
  const anna = await browser.open(way.url, { expected: CUT });

  await comesInAsAGuest(browser, anna, engine);
  await looksAndWalks(anna);
  await takesAThing(anna);
  await findsAllAgain(browser, anna);
  const password = await keepsAName(browser, anna);
  let carl = await Telnet.guest(engine);
  await talksWith(anna, carl);
  await losesTheConnection(browser, anna, carl, way, engine);
  await typesWithHelp(anna);
  await readsFurtherUp(anna, carl);
  await noticesSilence(anna, way);
  await outlivesTheEngine(browser, anna, way, engine);

  carl = await Telnet.guest(engine);
  const bert = await browser.open(way.url, { ...PHONE, expected: CUT });
  await comesInAsSomebodyNew(browser, bert);
  await meets(anna, bert);
  await isNotFooled(anna, carl);
  await comesBack(bert);
  await comesInFromElsewhere(browser, anna, way, password);
  await comesInByKeyboardAlone(browser, way);
  await findsNonsense(browser, way);
  await isWarned(browser, way);
}

async function comesInAsAGuest(browser, page, engine) {
  await page.getByRole('heading', { name: 'A Small World' }).waitFor();
  await page.getByText('In the world: 0').waitFor();
  // Who only looks at the page takes nobody's place.
  await waitFor('no session', async () => (await (await fetch(`http://${engine.observability}/status`)).json()).loop.sessions === 0);
  await browser.audit(page, 'outside');
  await page.click('#guest');
  await logs(page, 'The Yard');
  assert.equal(await focused(page), 'line');
  assert.equal(await page.title(), 'A Small World');
  await browser.audit(page, 'inside');
}

async function looksAndWalks(page) {
  await types(page, 'look');
  await logs(page, 'Gravel.');
  assert.equal(await page.inputValue('#line'), '');
  const north = page.locator('#compass [value=n]');
  const place = await north.boundingBox();
  await north.click();
  await page.getByRole('heading', { name: 'The Barn' }).waitFor();
  assert.deepEqual(await north.boundingBox(), place);
  assert.equal(await north.getAttribute('aria-disabled'), 'true');
  await types(page, 'south');
  await page.getByRole('heading', { name: 'The Yard' }).waitFor();
  await page.getByRole('img', { name: 'Map. You are in The Yard; you have been in 2 places.' }).waitFor();
  assert.deepEqual(await page.locator('#map .box title').allTextContents(), ['The Barn', 'The Yard']);
  // It is drawn by its direction, whatever else leads there.
  const [barn, yard] = await Promise.all(['The Barn', 'The Yard'].map((name) => boxOf(page, name)));
  assert.ok(barn.y + barn.height < yard.y && Math.abs(barn.x - yard.x) < 2);
  // No letter is cut in two.
  assert.deepEqual(await page.evaluate(() => inTwo(`Of ${'\u{1f409}'.repeat(20)}`)), ['Of', `${'\u{1f409}'.repeat(12)}…`]);
  // What leads to where one has not been is drawn so.
  assert.equal(await page.locator('#map .unknown').count(), 1);
}

async function takesAThing(page) {
  await page.locator('#here').getByRole('button', { name: 'get a bucket' }).click();
  await page.locator('#carried').getByRole('button', { name: 'drop a bucket' }).waitFor();
  await page.locator('#here').getByRole('button', { name: 'get a bucket' }).waitFor({ state: 'detached' });
  // A keyboard stays where it is in the list.
  assert.match(await focused(page), /oak chest/);
  await page.locator('#carried').getByRole('button', { name: 'put a bucket in …' }).click();
  assert.equal(await page.inputValue('#line'), 'put a bucket in ');
  await page.locator('#here').getByRole('button', { name: 'look at a hen' }).click();
  await logs(page, 'A hen: Brown.');
  // Whatever a thing is called, what can be done with it can be read.
  const labels = (item) => page.evaluate((it) => [...row(it).querySelectorAll('button')].map((one) => one.textContent), item);
  for (const name of ['get', 'e', 'a net']) {
    const lines = [`examine ${name}`, `get ${name}`, `drop ${name}`, `put ${name} in `];
    assert.deepEqual(await labels({ name, do: lines }), [name, 'get', 'drop', 'put…']);
  }
}

/// A page that is loaded again is the same guest's still, with their map, and looks as it was chosen.
async function findsAllAgain(browser, page) {
  await page.click('#enlarge');
  assert.equal(await page.locator('#atlas .box').count(), 2);
  await browser.audit(page, 'all of the map');
  await page.keyboard.press('Escape');
  await page.click('#bar .display');
  await browser.audit(page, 'how it looks');
  await page.selectOption('#theme', 'dark');
  await page.selectOption('#size', 'large');
  await page.click('#displaying .main');
  const seen = () => page.evaluate(() => [document.getElementById('self').textContent, document.querySelector('#map svg').ariaLabel,
    document.getElementById('carried').textContent, getComputedStyle(document.documentElement).fontSize,
    getComputedStyle(document.documentElement).colorScheme]);
  const before = await seen();
  assert.deepEqual(before.slice(3), ['19px', 'dark']);
  await page.reload();
  await page.locator('#carried').getByRole('button', { name: 'drop a bucket' }).waitFor();
  assert.deepEqual(await seen(), before);
}

async function keepsAName(browser, page) {
  await page.click('#keep');
  await page.fill('#chosen', 'look');
  await page.press('#chosen', 'Enter');
  await page.getByText('That word means something here.').first().waitFor();
  // What others say meanwhile is no word about it.
  await page.evaluate(() => read('Somebody says, "Choose mine."\r\n'));
  assert.match(await page.textContent('#unfit'), /^That word means something here/);
  await browser.audit(page, 'keeping a name');
  await page.fill('#chosen', 'Anna');
  await page.press('#chosen', 'Enter');
  await page.locator('#issued').waitFor();
  const password = await page.inputValue('#issued-password');
  assert.match(password, /^\S{10,}$/);
  await browser.audit(page, 'a password');
  await page.click('#copy');
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  await page.click('#issued .main');
  await page.locator('#keep').waitFor({ state: 'hidden' });
  assert.equal(await page.textContent('#self'), 'Anna');
  // Nobody has asked for it to be kept, nor is it to be read in the log.
  assert.ok(!(await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]))).includes(password));
  assert.ok(!(await page.textContent('#log')).includes(password));
  return password;
}

async function talksWith(page, visitor) {
  await page.locator('#here').getByText(/Guest\d/).waitFor();
  visitor.types('say hello by telnet');
  await logs(page, 'says, "hello by telnet"');
  await types(page, "'hello from a browser");
  await visitor.reads('Anna says, "hello from a browser"');
}

async function losesTheConnection(browser, page, visitor, way, engine) {
  way.cut();
  await page.getByText('The connection is lost.').first().waitFor();
  await browser.audit(page, 'without a connection');
  visitor.types('look');
  await visitor.reads('staring into the distance');
  visitor.types('say where are you?');
  await visitor.reads('You say, "where are you?"');
  // One that fails is not the last.
  await waitFor('another try', () => page.evaluate(() => tries > 1));
  way.leadsTo(engine.web);
  await logs(page, 'You are back.');
  await logs(page, 'What you missed:');
  await logs(page, 'says, "where are you?"');
  await page.locator('#carried').getByRole('button', { name: 'drop a bucket' }).waitFor();
  await page.locator('#lost').waitFor({ state: 'hidden' });
}

async function typesWithHelp(page) {
  await types(page, 'say one');
  await types(page, 'say two');
  await page.fill('#line', 'say thr');
  for (const [key, line] of [['Up', 'say two'], ['Up', 'say one'], ['Down', 'say two'], ['Down', 'say thr']]) {
    await page.press('#line', `Arrow${key}`);
    assert.equal(await page.inputValue('#line'), line);
  }
  // Commands, ways and what is here, one after the other; then the key goes on as everywhere.
  for (const [typed, ...lines] of [['exa', 'examine'], ['examine buck', 'examine bucket'], ['examine oak', 'examine oak chest'],
    ['dro', 'drop'], ['examine a ', 'examine a hen', 'examine a bucket']]) {
    await page.fill('#line', typed);
    for (const line of lines) {
      await page.press('#line', 'Tab');
      assert.equal(await page.inputValue('#line'), line);
      assert.equal(await focused(page), 'line');
    }
    await page.press('#line', 'Tab');
    assert.notEqual(await focused(page), 'line', typed);
  }
  await page.fill('#line', 'examine a ');
  await page.press('#line', 'Tab');
  await page.press('#line', 'Escape');
  assert.equal(await page.inputValue('#line'), 'examine a ');
  await page.press('#line', 'Tab');
  assert.notEqual(await focused(page), 'line');
  // Whoever types while they are elsewhere types here.
  await page.fill('#line', '');
  await page.focus('#compass [value=n]');
  await page.keyboard.type('look');
  assert.equal(await page.inputValue('#line'), 'look');
  await page.fill('#line', '');
}

async function readsFurtherUp(page, visitor) {
  await types(page, 'commands');
  await logs(page, 'quit');
  await page.evaluate(() => {
    document.getElementById('log').scrollTop = 0;
    read('> ');
  });
  assert.ok(await page.locator('#more').isHidden());
  visitor.types('say below');
  await page.getByRole('button', { name: 'A new line below' }).waitFor();
  assert.equal(await page.evaluate(() => document.getElementById('log').scrollTop), 0);
  await page.click('#more');
  await page.locator('#more').waitFor({ state: 'hidden' });
  // However much is said, the page holds so much of it.
  await page.evaluate(() => tell(...Array.from({ length: 4_000 }, () => make('p'))));
  assert.equal(await page.locator('#log > *').count(), 1_000);
}

async function noticesSilence(page, way) {
  way.hold();
  await page.evaluate(() => {
    ping();
    ping();
  });
  await page.locator('#lost').waitFor();
  // What is told of it takes room, and the end of the log stays in sight.
  const frame = () => page.evaluate(() => new Promise(requestAnimationFrame));
  await frame().then(frame);
  assert.ok(await page.evaluate(() => log.scrollTop + log.clientHeight >= log.scrollHeight - 8));
  await page.locator('#lost').waitFor({ state: 'hidden' });
}

async function outlivesTheEngine(browser, page, way, engine) {
  const guest = await browser.open(way.url, { expected: CUT });
  await guest.click('#guest');
  await logs(guest, 'The Yard');
  way.cut();
  await engine.stop();
  await engine.begin();
  way.leadsTo(engine.web);
  await logs(page, 'You are back.');
  await page.getByRole('heading', { name: 'The Yard' }).waitFor();
  await page.locator('#carried').getByRole('button', { name: 'drop a bucket' }).waitFor();
  // Of guests nothing is left.
  await guest.getByText('You could not come back. A guest is kept for 90 seconds').waitFor();
}

async function comesInAsSomebodyNew(browser, page) {
  await page.getByText('In the world:').waitFor();
  await isAsWideAs(page);
  await browser.audit(page, 'outside, dark, on a phone');
  await page.fill('#name', 'a1');
  await page.click('#return button');
  await page.getByText('from a to z, and nothing else.').waitFor();
  await page.fill('#name', 'Bert');
  await page.click('#return button');
  await page.getByRole('button', { name: 'No, another name' }).click();
  await page.click('#return button');
  await browser.audit(page, 'somebody new');
  await page.getByRole('button', { name: 'Yes, I am new' }).click();
  await page.locator('#issued').waitFor();
  await isAsWideAs(page);
  await page.check('#issued-kept');
  await page.keyboard.press('Escape');
  await logs(page, 'The Yard');
  await isAsWideAs(page);
  for (const tab of ['here', 'carried', 'been', 'online', 'ways']) {
    await page.click(`#tabs [value=${tab}]`);
    assert.equal(await page.locator('#panels section:visible').getAttribute('id'), tab);
    await isAsWideAs(page);
  }
  await browser.audit(page, 'inside, dark, on a phone');
}

async function meets(page, other) {
  await page.evaluate(() => Object.defineProperty(document, 'hidden', { configurable: true, value: true }));
  await other.click('#tabs [value=here]');
  await other.locator('#here').getByRole('button', { name: 'tell Anna …' }).click();
  assert.equal(await other.inputValue('#line'), 'tell Anna ');
  await types(other, 'tell Anna hello');
  await logs(page, 'Bert tells you, "hello"');
  assert.equal(await page.title(), '(1) A Small World');
  await page.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event('visibilitychange'));
  });
  assert.equal(await page.title(), 'A Small World');
  await types(page, 'say hello, Bert');
  await logs(other, 'Anna says, "hello, Bert"');
  await other.click('#tabs [value=online]');
  await other.locator('#online').getByRole('button', { name: 'tell Anna …' }).waitFor();
}

async function isNotFooled(page, visitor) {
  const markup = '<img src=x onerror=alert(1)><b>bold</b>';
  visitor.types(`say ${markup}\x1b[31m\x1b]0;title\x07`);
  await logs(page, markup);
  assert.equal(await page.locator('#log img, #log b').count(), 0);
  const shown = (line) => page.evaluate((text) => styled(text, {}).pieces.map(({ text, classes }) => [text, classes]), line);
  for (const [line, ...pieces] of [
    ['a\x1b[1;31mb\x1b[0mc', ['a', ''], ['b', 'bold red'], ['c', '']],
    ['\x1b[93ma\x1b[39mb', ['a', 'yellow'], ['b', '']],
    ['\x1b[38;5;1ma\x1b[48;2;1;3;4mb\x1b[5;7mc', ['a', ''], ['b', ''], ['c', '']],
    ['\x1b[2Ja\x1b[1;1Hb\x1b]8;;http://x/\x1b\\c\x1b]0;t\x07d\x1bce\x1b', ['a', ''], ['b', ''], ['c', ''], ['d', ''], ['e', '']],
    ['\x00a\x08\x9b\x7fb\tc', ['ab\tc', '']],
  ]) {
    assert.deepEqual(await shown(line), pieces, JSON.stringify(line));
  }
  // What the engine would never send changes nothing.
  await page.evaluate(() => {
    for (const json of ['', 'null', '1', '[]', '"x"', '{}', '{"items":1,"location":"room","exits":[1],"num":"x","name":{}}']) {
      Object.keys(messages).filter((name) => name !== 'Core.Goodbye').forEach((name) => take(`${name} ${json}`));
    }
    take('toString {}');
  });
}

async function comesBack(page) {
  await page.click('#leave');
  await page.getByText('Goodbye.').waitFor();
  assert.equal(await page.inputValue('#name'), 'Bert');
  const password = await page.inputValue('#password');
  await page.fill('#password', 'wrong');
  await page.click('#return button');
  await page.getByText('That is not the password of Bert.').waitFor();
  await page.fill('#password', '');
  await page.click('#return button');
  await page.getByText('Somebody is called Bert here.').waitFor();
  await page.fill('#password', password);
  await page.uncheck('#kept');
  await page.click('#return button');
  await logs(page, 'The Yard');
  assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes(password));
  // Who comes in next has not been where one was last, nor typed what one has.
  await types(page, 'north');
  await logs(page, 'The Barn');
  await page.fill('#line', 'half a line');
  await page.click('#leave');
  await page.click('#guest');
  await logs(page, 'The Yard');
  assert.equal(await page.inputValue('#line'), '');
  await page.press('#line', 'ArrowUp');
  assert.equal(await page.inputValue('#line'), '');
  assert.deepEqual(await page.evaluate(() => [...rooms.values()].map((room) => room.name)), ['The Yard']);
  // A name may be longer than a phone is wide.
  await page.click('#tabs [value=ways]');
  await page.evaluate((long) => take(`Room.Info ${JSON.stringify({ num: 1, name: long, area: long, exits: { [long]: 2 } })}`), 'Name'.repeat(20));
  await isAsWideAs(page);
}

async function comesInFromElsewhere(browser, page, way, password) {
  const other = await browser.open(way.url);
  await other.fill('#name', 'anna');
  await other.fill('#password', password);
  await other.press('#password', 'Enter');
  await logs(other, 'The Yard');
  await page.getByText('You have come in from elsewhere').last().waitFor();
  await page.locator('#guest').waitFor();
  await types(other, 'say still here');
  await logs(other, 'You say, "still here"');
}

async function comesInByKeyboardAlone(browser, way) {
  const page = await browser.open(way.url, { reducedMotion: 'reduce', forcedColors: 'active' });
  const tabTo = (what) => waitFor(what, async () => {
    await page.keyboard.press('Tab');
    return (await focused(page)) === what;
  });
  await page.getByText('In the world:').waitFor();
  await tabTo('guest');
  await page.keyboard.press('Enter');
  await logs(page, 'The Yard');
  await page.keyboard.type('say by keyboard\n');
  await logs(page, 'You say, "by keyboard"');
  await tabTo('look at a hen');
}

/// What a browser keeps may be anything.
async function findsNonsense(browser, way) {
  for (const map of ['[[1,{"at":[],"exits":{}}]]', '[[2,{"at":[0,0,0],"exits":{"s":1}}]]', '{"a":1}', '[null]']) {
    const page = await browser.open(way.url);
    await page.evaluate((kept) => {
      for (const key of ['map A Small World a guest', 'maps', 'me', 'display']) localStorage.setItem(key, kept);
      sessionStorage.setItem('guest', kept);
    }, map);
    await page.reload();
    await page.click('#guest');
    await page.getByRole('img', { name: 'Map. You are in The Yard; you have been in this place.' }).waitFor();
    await page.context().close();
  }
}

async function isWarned(browser, way) {
  const page = await browser.open(way.url.replace('127.0.0.1', 'world.test'));
  await page.getByText('This page came without encryption').first().waitFor();
}
