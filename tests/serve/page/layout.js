/* The page as it opens, with text that is hard to fit, and with its panel. */
await ready();
await wait('the figures', () => at('#up').textContent !== '–');
layout('the page as it opens');

const long = 'Donaudampfschifffahrtsgesellschaft'.repeat(6);
send('A question that takes more than one line: ' + long + ' and some words behind it.');
await whole(1);
set('#max_tokens', '3');
send('the cat');
await whole(2);
layout('a conversation');

/* What models write, as the page draws it. */
at('.text', answers()[1]).replaceChildren(blocks('# ' + long + '\n\nText with `code` and **' + long + '**.\n\n- an item\n- ' + long +
  '\n\n1. one\n2. two\n\n> a quotation\n\n```\n' + long + ' ' + long + '\n```\n'));
check(all('h3, p, ul, ol, blockquote, pre', at('.text', answers()[1])).length === 6, 'marks are not drawn');
layout('marked text');

/* Calls with more than fits on a line. */
showCalls(answers()[1], [{id: 'a', function: {name: 'weather_of_' + long, arguments: JSON.stringify({[long]: long, options: {days: 3, units: ['C', 'mm']}})}},
  {id: 'b', function: {name: 'clock', arguments: '{"broken'}}], messages);
check(all('.call', answers()[1])[1].innerText.includes('{"broken'), 'arguments that are no JSON are not shown');
layout('calls');
problem('Refused: ' + long, () => 0);
layout('a problem');

set('#ask', 'a long question\n'.repeat(40));
layout('a long question');
set('#ask', '');

const menu = at('#menu');
if (visible(menu)) {
  const panel = at('aside');
  check(getComputedStyle(panel).visibility === 'hidden', 'the panel is open at first');
  menu.click();
  const whole_panel = () => { const box = panel.getBoundingClientRect(); return box.left === 0 && box.right <= innerWidth && visible(panel); };
  await wait('the panel', whole_panel);
  check(panel.scrollWidth <= panel.clientWidth, 'the panel scrolls sideways');
  checkBoxes('the panel at ' + innerWidth, panel);
  check(!onTop(at('#send')), 'what is behind the panel can be pressed');
  document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}));
  await wait('the end of the panel', () => getComputedStyle(panel).visibility === 'hidden');
  check(document.activeElement === menu, 'the focus is lost with the panel');
} else {
  check(innerWidth > 800 && visible(at('aside')), 'there is no way to the settings');
}
layout('the page at last');
