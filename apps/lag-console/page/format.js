/** Numbers as people read them. */
const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** @param {number | null | undefined} value */
export const count = (value) => (value === null || value === undefined ? '–' : whole.format(value));

/** Per second; quiet when nothing moves. @param {number} value */
export const rate = (value) =>
  value < 0.05 ? '0/s' : value < 10 ? `${value.toFixed(1)}/s` : `${whole.format(value)}/s`;

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 1) return seconds === 0 ? '0 s' : '< 1 s';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** Time until caught up. @param {{ lag: number | null, etaSeconds: number | null }} of */
export function eta({ lag, etaSeconds }) {
  if (lag === null) return '–';
  if (lag === 0) return 'caught up';
  return etaSeconds === null ? 'not at this rate' : duration(etaSeconds);
}

const STATUS = {
  'caught-up': ['good', 'caught up'],
  draining: ['info', 'draining'],
  'falling-behind': ['warn', 'falling behind'],
  stalled: ['bad', 'stalled'],
  rewound: ['warn', 'rewound'],
  'no-commit': ['quiet', 'no commit'],
};

/** @param {string} status @returns {[tone: string, text: string]} */
export const statusOf = (status) => STATUS[status] ?? ['quiet', status];
