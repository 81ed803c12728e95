/* Stopping, and what the server refuses: the model is slow, the server has one slot and a queue of
 * two. */
const figure = async name => Number((await (await real('/metrics')).text()).match(new RegExp('^adze_' + name + ' (\\d+)', 'm'))[1]);
const idle = () => wait('rest', async () => await figure('working_sequences') === 0 && await figure('queue_sequences') === 0);
await ready();
check(at('#chat-mode').disabled && at('#text-mode').getAttribute('aria-pressed') === 'true', 'a model without a template chats');
set('#temperature', '0');
set('#max_tokens', '100000');

/* An answer at work is stopped by the button, another by Escape: it stays as it is, and the server
 * ends it. */
for (const [number, stop] of [() => at('#send').click(), () => document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))].entries()) {
  const before = await figure('canceled_total');
  send('the cat');
  check(at('#send').textContent === 'Stop' && !at('#send').disabled, 'there is no way to stop');
  const node = await wait('an answer', () => answers()[number]);
  await wait('its beginning', () => at('.text', node).textContent.length > 'the cat'.length + 2);
  check(node.classList.contains('busy'), 'the model is too fast for this test');
  layout('an answer that comes');
  stop();
  await whole(number + 1);
  check(node.dataset.end === 'stopped' && node.innerText.includes('stopped'), 'it ends otherwise: ' + node.innerText);
  check(at('#send').textContent === 'Send', 'the button still stops');
  const text = at('.text', node).textContent;
  await idle();
  check(await figure('canceled_total') === before + 1, 'the server does not know that it is stopped');
  check(at('.text', node).textContent === text, 'the answer goes on');
}

/* What is wrong with a request is said in the server's words. */
send('the cat '.repeat(3000));
const wrong = await wait('a refusal', () => at('#log .problem'));
check(/context|tokens/.test(wrong.textContent) && !/\{|undefined|^4/.test(wrong.textContent), 'for a long text it says: ' + wrong.textContent);
check(answers().length === 2 && at('#send').textContent === 'Send', 'an empty answer stays');
layout('a refusal');
wrong.remove();

/* A full queue is said so, and trying again helps once there is room. */
const crowd = new AbortController();
const held = real('/v1/completions', {method: 'POST', signal: crowd.signal, headers: {'Content-Type': 'application/json'},
  body: JSON.stringify({prompt: 'the cat', max_tokens: 400, n: 3, ignore_eos: true})}).catch(() => 0);
await wait('a full queue', async () => await figure('queue_sequences') === 2);
send('the cat');
const full = await wait('a refusal', () => at('#log .problem'));
check(/queue|full|busy|many/.test(full.textContent), 'for a full queue it says: ' + full.textContent);
layout('a full queue');
crowd.abort();
await held;
await idle();
set('#max_tokens', '4');
at('button', full).click();
const again = await whole(3);
check(!at('#log .problem') && again.dataset.end === 'length', 'trying again: ' + at('#log').innerText);
