/** Small keyed updates: rows stay the same elements from second to second, so focus and selection survive. */

/** @param {string} name @param {Record<string, string>} attributes @param {(Node | string)[]} children */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Sets text only when it differs. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} node @param {string} name @param {string} value */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Makes the children of `parent` match `items`, by key and in order.
 * @template T
 * @param {Element} parent @param {T[]} items @param {(item: T) => string} key
 * @param {(item: T) => Element} create @param {(node: Element, item: T) => void} update
 */
export function reconcileChildren(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    let node = known.get(key(item));
    if (node === undefined) {
      node = create(item);
      node.dataset.key = key(item);
    }
    known.delete(key(item));
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const gone of known.values()) gone.remove();
}

const SVG = 'http://www.w3.org/2000/svg';

export function sparkline() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'spark');
  svg.setAttribute('viewBox', '0 0 120 24');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  const fill = document.createElementNS(SVG, 'path');
  fill.setAttribute('class', 'fill');
  svg.append(fill, document.createElementNS(SVG, 'path'));
  return svg;
}

/** @param {Element} svg @param {number[]} values oldest first @param {string} label */
export function drawSparkline(svg, values, label) {
  const most = Math.max(1, ...values);
  const start = 120 - values.length;
  const points = values.map((value, i) => `${start + i + 0.5} ${(22.5 - (value / most) * 21).toFixed(1)}`);
  const line = points.length === 0 ? '' : `M${points.join('L')}`;
  const [fill, stroke] = svg.children;
  stroke.setAttribute('d', line);
  fill.setAttribute('d', line === '' ? '' : `${line}V23H${start + 0.5}Z`);
  setAttribute(svg, 'aria-label', label);
}
