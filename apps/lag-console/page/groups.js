/** The groups' table: one row each, and its partitions when opened. */
import { drawSparkline, element, reconcileChildren, setAttribute, setText, sparkline } from './dom.js';
import { count, duration, eta, rate, statusOf } from './format.js';

/** Groups that the reader has opened or closed; the others are open while they have lag. */
const chosen = new Map();

const HEAD = [
  ['Group', ''],
  ['Status', 'left'],
  ['Lag', ''],
  ['Behind', ''],
  ['Clears in', ''],
  ['Drains', 'wide'],
  ['Arrives', 'wide'],
  ['Members', 'wide'],
  ['Lag, last 2 min', ''],
];

export function isOpen(group) {
  return chosen.get(group.group) ?? group.lag > 0;
}

/** @param {Element} root @param {object[]} groups with `partitions` where they are known */
export function showGroups(root, groups) {
  let body = root.querySelector('tbody');
  if (body === null) {
    body = element('tbody');
    root.replaceChildren(
      element(
        'table',
        {},
        element(
          'caption',
          { class: 'unseen' },
          'Consumer groups with their lag; a group opens to its partitions',
        ),
        element(
          'thead',
          {},
          element(
            'tr',
            {},
            ...HEAD.map(([name, style]) => element('th', { scope: 'col', class: style }, name)),
          ),
        ),
        body,
      ),
    );
  }
  const rows = groups.flatMap((group) => [
    { key: `g ${group.group}`, group },
    ...(isOpen(group) ? (group.partitions ?? []) : []).map((part) => ({
      key: `p ${group.group} ${part.topic} ${part.partition}`,
      part,
    })),
  ]);
  reconcileChildren(
    body,
    rows,
    (row) => row.key,
    (row) => (row.group === undefined ? createPartition() : createGroup(row.group)),
    (node, row) => (row.group === undefined ? updatePartition(node, row.part) : updateGroup(node, row.group)),
  );
}

function createGroup(group) {
  const more = element('button', { type: 'button', class: 'more' }, group.group);
  more.addEventListener('click', () => {
    chosen.set(group.group, more.getAttribute('aria-expanded') !== 'true');
    document.dispatchEvent(new Event('groups-changed'));
  });
  return element(
    'tr',
    { class: 'group' },
    element('th', { scope: 'row' }, more),
    element('td', { class: 'left' }, element('span', { class: 'chip' })),
    element('td', { class: 'lag' }),
    element('td'),
    element('td'),
    element('td', { class: 'wide' }),
    element('td', { class: 'wide' }),
    element('td', { class: 'wide' }),
    element('td', {}, sparkline()),
  );
}

function updateGroup(row, group) {
  const [name, status, lag, behind, clears, drains, arrives, members, trend] = row.children;
  setAttribute(name.firstElementChild, 'aria-expanded', String(isOpen(group)));
  const [tone, text] =
    group.members === 0 && group.lag > 0 ? ['bad', 'nobody reads'] : statusOf(group.status);
  setAttribute(status.firstElementChild, 'data-tone', tone);
  setText(status.firstElementChild, text);
  const none = group.uncommittedPartitions === group.partitionCount;
  setText(lag, none ? '–' : count(group.lag));
  setAttribute(lag, 'class', group.lag === 0 ? 'lag zero' : 'lag');
  setText(behind, none ? '–' : duration(group.lagSeconds));
  setText(clears, eta({ lag: none ? null : group.lag, etaSeconds: group.etaSeconds }));
  setText(drains, rate(group.drainRate));
  setText(arrives, rate(group.produceRate));
  setText(members, `${count(group.members)} · ${group.state}`);
  const most = Math.max(0, ...group.history);
  drawSparkline(
    trend.firstElementChild,
    group.history,
    `lag over the last ${group.history.length} readings: now ${count(group.lag)}, highest ${count(most)}`,
  );
}

function createPartition() {
  return element(
    'tr',
    { class: 'part' },
    element('th', { scope: 'row' }),
    element('td', { class: 'left' }),
    element('td', { class: 'lag' }),
    element('td'),
    element('td'),
    element('td', { class: 'wide' }),
    element('td', { class: 'wide' }),
    element('td', { class: 'wide' }),
    element('td'),
  );
}

function updatePartition(row, part) {
  const [name, status, lag, behind, clears, drains, arrives, member, place] = row.children;
  setText(name, `${part.topic} / ${part.partition}`);
  setText(status, statusOf(part.status)[1]);
  setText(lag, count(part.lag));
  setAttribute(lag, 'data-busy', String(part.lag > 0));
  setText(behind, duration(part.lagSeconds));
  setText(clears, eta(part));
  setText(drains, rate(part.drainRate));
  setText(arrives, rate(part.produceRate));
  setText(member, part.member === null ? 'unassigned' : `${part.member.clientId} @ ${part.member.host}`);
  setAttribute(member, 'title', part.member === null ? 'no member has this partition' : part.member.memberId);
  setText(place, `${part.committed === null ? 'no commit' : part.committed} of ${part.end}`);
}
