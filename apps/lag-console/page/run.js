/** One run: what was sent, what became of it, and whether that is the same. */
import { element, setText } from './dom.js';
import { count } from './format.js';

const VERDICT = {
  reconciled: ['good', 'Reconciled', 'every event sent has exactly one receipt'],
  running: ['info', 'Running', 'a replay is going on'],
  settling: ['info', 'Settling', 'all is sent; receipts are still being written'],
  mismatch: ['bad', 'Does not reconcile', 'the ledger and the replayer disagree'],
  unknown: ['quiet', 'Nothing announced', 'no replayer has said what it sends in this run'],
};

let shown = '';

/** @param {Element} root @param {object} run @returns {string} what to announce, empty when nothing changed */
export function showRun(root, run) {
  const text = JSON.stringify(run);
  if (text === shown) return '';
  const before = root.querySelector('.verdict')?.dataset.verdict;
  shown = text;
  const [tone, title, meaning] = VERDICT[run.verdict];
  const detail =
    run.verdict === 'settling' || run.verdict === 'mismatch'
      ? `${meaning}: ${count(Math.abs(run.difference))} ${run.difference < 0 ? 'more receipts than events' : 'events without receipt'}`
      : meaning;
  root.replaceChildren(
    element(
      'div',
      { class: 'verdict', 'data-tone': tone, 'data-verdict': run.verdict },
      element('strong', {}, title),
      element('span', {}, detail),
    ),
    element(
      'div',
      { class: 'sum' },
      figure('sent', run.sent),
      element('i', { 'aria-label': 'equals' }, run.difference === 0 ? '=' : '≠'),
      figure('admitted', run.admitted),
      element('i', { 'aria-label': 'plus' }, '+'),
      figure('duplicate', run.duplicate),
      element('i', { 'aria-label': 'plus' }, '+'),
      figure('quarantined', run.quarantined),
    ),
    element('div', { class: 'tables' }, outputs(run), places(run)),
  );
  setText(
    root.querySelector('.foot-note') ?? root.appendChild(element('p', { class: 'quiet foot-note' })),
    footnote(run),
  );
  return before === undefined || before === run.verdict ? '' : `${title}: ${detail}`;
}

function figure(name, value) {
  return element('div', {}, element('b', {}, count(value)), element('span', {}, name));
}

function table(caption, head, rows) {
  return element(
    'div',
    { tabindex: '0', role: 'region', 'aria-label': caption },
    element(
      'table',
      {},
      element('caption', { class: 'unseen' }, caption),
      element('thead', {}, element('tr', {}, ...head.map((name) => element('th', { scope: 'col' }, name)))),
      element(
        'tbody',
        {},
        ...rows.map(([first, ...rest]) =>
          element(
            'tr',
            {},
            element('th', { scope: 'row' }, first),
            ...rest.map((cell) => element('td', {}, cell)),
          ),
        ),
      ),
    ),
  );
}

function outputs(run) {
  return table(
    'By output',
    ['Output', 'Sent', 'Admitted', 'Duplicate', 'Quarantined'],
    run.outputs.map((each) => [
      each.outputId,
      count(each.sent),
      count(each.admitted),
      count(each.duplicate),
      count(each.quarantined),
    ]),
  );
}

function places(run) {
  return table(
    'On the bus',
    ['Bus partition', 'Records', 'Offsets'],
    run.bus.map((each) => [
      `${each.topic} / ${each.partition}`,
      count(each.records),
      `${each.firstOffset} … ${each.lastOffset}`,
    ]),
  );
}

function footnote(run) {
  const reasons = Object.entries(run.reasons).map(([code, records]) => `${code} ${count(records)}`);
  return [
    `${run.completedAttempts} of ${run.attempts} attempts ended`,
    `${count(run.otherReceipts)} other receipts (control and audit facts)`,
    ...(reasons.length > 0 ? [`quarantined for ${reasons.join(', ')}`] : []),
    ...(run.unreadable > 0 ? [`${count(run.unreadable)} records the ledger could not read`] : []),
  ].join(' · ');
}
