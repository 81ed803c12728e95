/* What the scripts of this folder share: tests/cli/test_page.sh puts this before each of them. They run in
 * the server's page, in an async function, and fail by throwing. They use the page as its user
 * does, by what is seen on it. */
const at = (path, within = document) => within.querySelector(path);
const all = (path, within = document) => [...within.querySelectorAll(path)];
const check = (good, text) => { if (!good) throw new Error(text); };
async function wait(what, test) {
  for (const until = performance.now() + 60000; performance.now() < until;) {
    const got = await test();
    if (got) return got;
    await new Promise(done => setTimeout(done, 20));
  }
  throw new Error('waited in vain for ' + what + '; the page says: ' + at('#log').innerText);
}
function set(path, value) {
  const node = typeof path === 'string' ? at(path) : path;
  node.value = value;
  node.dispatchEvent(new Event('input', {bubbles: true}));
}
function send(text) {
  set('#ask', text);
  at('#send').click();
}
const answers = () => all('#log .model');
/* The last of COUNT answers, when it is whole. */
const whole = count => wait('answer ' + count, () => answers().length === count && answers()[count - 1].dataset.end !== undefined && answers()[count - 1]);
const ready = () => wait('the model', () => at('#name').textContent === 'tiny');
/* What the page asks the server, from now on. */
const asked = [];
const real = window.fetch;
window.fetch = (path, options) => {
  if (options && options.method === 'POST') asked.push(JSON.parse(options.body));
  return real(path, options);
};

/* Layout: nothing reaches beyond the window or its own box, and nothing lies on something else. */
const visible = node => node.checkVisibility({checkVisibilityCSS: true}) && getComputedStyle(node).display !== 'inline';
function seen(node) { /* the part of its box that no box around it hides */
  const own = node.getBoundingClientRect(), box = {left: own.left, top: own.top, right: own.right, bottom: own.bottom};
  for (let up = node.parentElement; up; up = up.parentElement) {
    if (getComputedStyle(up).overflow === 'visible') continue;
    const hull = up.getBoundingClientRect();
    box.left = Math.max(box.left, hull.left); box.right = Math.min(box.right, hull.right);
    box.top = Math.max(box.top, hull.top); box.bottom = Math.min(box.bottom, hull.bottom);
  }
  return box;
}
const named = node => node.tagName.toLowerCase() + (node.id ? '#' + node.id : '') + (node.className ? '.' + node.className : '');
function checkBoxes(state, root) {
  const nodes = all('*', root).filter(node => !node.closest('svg > *') && visible(node)), boxes = nodes.map(seen);
  nodes.forEach((node, i) => {
    const style = getComputedStyle(node), box = boxes[i];
    check(box.right <= box.left || (box.left >= -0.5 && box.right <= innerWidth + 0.5), state + ': ' + named(node) + ' reaches beyond the window');
    check(style.overflowX !== 'visible' || node.matches('svg, input, label.row *') || node.scrollWidth <= node.clientWidth + 1,
      state + ': ' + named(node) + ' is narrower than what is in it');
    nodes.forEach((other, k) => {
      if (k <= i || node.contains(other)) return;
      const wide = Math.min(box.right, boxes[k].right) - Math.max(box.left, boxes[k].left);
      const high = Math.min(box.bottom, boxes[k].bottom) - Math.max(box.top, boxes[k].top);
      check(wide <= 1 || high <= 1, state + ': ' + named(node) + ' lies on ' + named(other));
    });
  });
}
const onTop = node => {
  const box = node.getBoundingClientRect();
  const hit = document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
  return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight && box.width > 20 && box.height > 20 && node.contains(hit);
};
function layout(state) {
  state = state + ' at ' + innerWidth;
  check(document.documentElement.scrollWidth <= innerWidth, state + ': the page scrolls sideways');
  check(at('#log').scrollWidth <= at('#log').clientWidth, state + ': what was said scrolls sideways');
  check(onTop(at('#ask')), state + ': the input is not to be seen');
  check(onTop(at('#send')), state + ': the button is not to be seen');
  checkBoxes(state, document.body);
}
