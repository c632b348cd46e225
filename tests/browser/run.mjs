// Runs one scenario: `node run.mjs NAME`, with the engine's path in AQEVIA_ENGINE. Exit code 0: it went as written there;
// 1: it did not; 77: this machine lacks something, which the last line names.

import { Browser, Missing, PATIENCE_MS, leave } from './browser.mjs';

const deadline = setTimeout(() => end(1, 'it takes too long'), 4 * PATIENCE_MS);
let isOver = false;

async function end(code, words) {
  if (isOver) return;
  isOver = true;
  if (words) console.log(words);
  await leave();
  clearTimeout(deadline);
  process.exit(code);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end(1, signal));
const faults = [];
try {
  const { default: scenario } = await import(`./${process.argv[2]}.mjs`);
  await scenario(await Browser.start(faults));
  await end(faults.length > 0 ? 1 : 0, faults.join('\n'));
} catch (error) {
  if (error instanceof Missing) await end(77, error.message);
  else await end(1, [error.stack, ...faults].join('\n'));
}
