/** The topics' table. */
import { drawSparkline, element, reconcileChildren, setText, sparkline } from './dom.js';
import { count, rate } from './format.js';

const HEAD = ['Topic', 'Rate', 'Offsets in log', 'Partitions', 'Rate, last 2 min'];

/** @param {Element} root @param {object[]} topics */
export function showTopics(root, topics) {
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
          'Topics with records written per second, markers of transactions included',
        ),
        element(
          'thead',
          {},
          element(
            'tr',
            {},
            ...HEAD.map((name, i) =>
              element('th', { scope: 'col', class: i === 2 || i === 3 ? 'wide' : '' }, name),
            ),
          ),
        ),
        body,
      ),
    );
  }
  reconcileChildren(
    body,
    topics,
    (topic) => topic.topic,
    (topic) =>
      element(
        'tr',
        { class: 'topic' },
        element('th', { scope: 'row' }, topic.topic),
        element('td'),
        element('td', { class: 'wide' }),
        element('td', { class: 'wide' }),
        element('td', {}, sparkline()),
      ),
    (row, topic) => {
      const [, now, offsets, partitions, trend] = row.children;
      setText(now, rate(topic.rate));
      now.className = topic.rate < 0.05 ? 'zero' : '';
      setText(offsets, count(topic.offsets));
      setText(partitions, String(topic.partitions.length));
      drawSparkline(
        trend.firstElementChild,
        topic.history,
        `records per second, now ${rate(topic.rate)}, highest ${rate(Math.max(0, ...topic.history))}`,
      );
    },
  );
}
