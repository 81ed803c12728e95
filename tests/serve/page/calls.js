/* Calls of tools: a card with name and arguments, and what is typed in goes back to the model, which
 * goes on with it. The model has learned to call, and what to say to either weather. */
await ready();
set('#temperature', '0');
set('#min_p', '0');
set('#repetition_penalty', '1');
set('#max_tokens', '120');

/* What is no list of tools is said, and nothing is asked with it. */
set('#tools', '[{"type": ');
check(at('#tools-fault').textContent !== '', 'broken tools are no fault');
send('Rain?');
await wait('the fault', () => at('#log .problem'));
check(at('#log .problem').textContent.includes('no JSON list') && asked.length === 0, 'broken tools are sent');
layout('a fault');
at('#log .problem').remove();
set('#tools', '[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]');
check(at('#tools-fault').textContent === '', 'a list of tools is called broken');

for (const [weather, said] of [['wet', 'Take a coat.'], ['dry', 'Go as you are.']]) {
  asked.length = 0;
  at('.fresh', at('aside')).click();
  check(answers().length === 0, 'a new chat begins with an answer');
  send('Rain?');
  const first = await whole(1), card = at('.call', first);
  check(card, 'no card: ' + first.innerText);
  check(asked.length === 1 && asked[0].tools[0].function.name === 'weather', 'the tools are not sent');
  check(at('.text', first).textContent.trim() === 'Let me see.', 'beside the call: ' + at('.text', first).textContent);
  check(at('h4', card).textContent === 'Calls weather', 'the card is called ' + at('h4', card).textContent);
  check(all('dt', card).map(node => node.textContent).join() === 'city,days', 'the arguments: ' + card.innerText);
  check(all('dd', card).map(node => node.textContent).join() === 'Ulm,2', 'their values: ' + card.innerText);
  layout('a card');
  set(at('textarea', card), weather);
  at('button', card).click();
  const second = await whole(2);
  check(at('.text', second).textContent.trim() === said, weather + ': the model says ' + at('.text', second).textContent);
  check(at('textarea', card).disabled && at('button', card).disabled, 'a result can be returned twice');
  check(asked.length === 2, asked.length + ' requests instead of 2');
  const [user, call, result] = asked[1].messages;
  check(asked[1].messages.length === 3 && user.content === 'Rain?', 'the conversation: ' + JSON.stringify(asked[1].messages));
  check(call.role === 'assistant' && call.tool_calls[0].function.name === 'weather', 'the call is forgotten');
  check(JSON.parse(call.tool_calls[0].function.arguments).city === 'Ulm', 'its arguments are forgotten');
  check(result.role === 'tool' && result.content === weather && result.tool_call_id === call.tool_calls[0].id, 'the result: ' + JSON.stringify(result));
  layout('an answer to a result');
}

/* Of two calls both results are waited for, in whatever order they come. */
asked.length = 0;
at('.fresh', at('aside')).click();
send('Both?');
const cards = all('.call', await whole(1));
check(cards.length === 2, cards.length + ' cards instead of 2');
check(at('h4', cards[1]).textContent === 'Calls clock without arguments', 'the second card: ' + cards[1].innerText);
layout('two cards');
set(at('textarea', cards[1]), 'noon');
at('button', cards[1]).click();
await new Promise(done => setTimeout(done, 100));
check(asked.length === 1, 'one of two results is sent alone');
set(at('textarea', cards[0]), 'wet');
at('button', cards[0]).click();
await whole(2);
check(asked[1].messages.slice(2).map(one => one.role + ' ' + one.content).join() === 'tool wet,tool noon', 'the results: ' + JSON.stringify(asked[1].messages));
